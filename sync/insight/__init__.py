"""What the numbers say: KPIs, lints and the evidence of a rollout."""
