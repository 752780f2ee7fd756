"""Who listens where: the addresses on which given processes of this machine wait for TCP connections."""

import ipaddress
import os
import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

_LISTENS = "0A"


def listening(pids: Collection[int]) -> dict[str, int]:
    """Addresses with ports, and the process that listens there."""
    owners = {inode: pid for pid in pids for inode in _sockets(pid)}
    return {where: owners[inode] for where, inode in _listeners() if inode in owners}


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach an address with a port."""
    return ipaddress.ip_address(address.rpartition(":")[0]).is_loopback


def _sockets(pid: int) -> Iterator[str]:
    for link in Path(f"/proc/{pid}/fd").glob("*"):
        with suppress(OSError):
            if found := re.fullmatch(r"socket:\[(\d+)\]", os.readlink(link)):
                yield found[1]


def _listeners() -> Iterator[tuple[str, str]]:
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTENS:
                address, port = fields[1].split(":")
                words = [bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8)]
                ip = ipaddress.ip_address(b"".join(words))
                ip = getattr(ip, "ipv4_mapped", None) or ip
                yield f"{ip}:{int(port, 16)}", fields[9]
