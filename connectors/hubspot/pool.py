"""The connections to HubSpot: direct, or through the proxy that the environment names for its address."""

from __future__ import annotations

from functools import partial
from typing import Any
from urllib.parse import unquote, urlsplit

import urllib3
from requests.utils import get_environ_proxies, select_proxy

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def open_pool(base_url: str, *, timeout: urllib3.Timeout, size: int) -> urllib3.PoolManager:
    """A pool without retries. HTTPS_PROXY, HTTP_PROXY and NO_PROXY count as they do for Salesforce."""
    here = urlsplit(base_url).hostname in _LOOPBACK  # a proxy has no business between two ends of one machine
    proxy = None if here else select_proxy(base_url, get_environ_proxies(base_url))
    make = partial(_through, proxy) if proxy else urllib3.PoolManager
    return make(num_pools=2, maxsize=size, block=True, retries=False, timeout=timeout)


def _through(proxy: str, **pool: Any) -> urllib3.ProxyManager:
    address = proxy if "://" in proxy else f"http://{proxy}"
    named = urlsplit(address)
    login = f"{unquote(named.username)}:{unquote(named.password or '')}" if named.username else None
    return urllib3.ProxyManager(address, proxy_headers=urllib3.make_headers(proxy_basic_auth=login), **pool)
