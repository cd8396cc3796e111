"""Find which accounts may read or write a file: by owner and mode on POSIX, by the access control list on Windows."""

from __future__ import annotations

import os
import re
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

from connector.command import quoted

# Groups that take in people who have nothing to do with the nightly run, by their name in SDDL and by SID.
# https://learn.microsoft.com/windows/win32/secauthz/sid-strings
BROAD = {
    **{"WD": "Everyone", "AU": "Authenticated Users", "BU": "Users", "AN": "Anonymous", "BG": "Guests"},
    **{"DU": "Domain Users", "IU": "Interactive", "NU": "Network"},
    **{"S-1-1-0": "Everyone", "S-1-5-11": "Authenticated Users", "S-1-5-32-545": "Users", "S-1-5-7": "Anonymous"},
    **{"S-1-5-32-546": "Guests", "S-1-5-4": "Interactive", "S-1-5-2": "Network"},
}
_DOMAIN_USERS = re.compile(r"S-1-5-21-[\d-]+-513")
_ACE = re.compile(r"\(([^()]*)\)")
# https://learn.microsoft.com/windows/win32/secauthz/ace-strings
_LETTERS = {
    **{"GA": 0x10000000, "GR": 0x80000000, "GW": 0x40000000, "GX": 0x20000000},
    **{"FA": 0x1F01FF, "FR": 0x120089, "FW": 0x120116, "FX": 0x1200A0},
    **{"CC": 0x1, "DC": 0x2, "LC": 0x4, "SW": 0x8, "RP": 0x10, "WP": 0x20, "DT": 0x40, "LO": 0x80, "CR": 0x100},
    **{"SD": 0x10000, "RC": 0x20000, "WD": 0x40000, "WO": 0x80000},
}
_READS = 0x1 | 0x80000000 | 0x10000000
# Write, append, delete what is inside, delete, change the list, take the ownership.
_WRITES = 0x2 | 0x4 | 0x40 | 0x10000 | 0x40000 | 0x80000 | 0x40000000 | 0x10000000
PRIVATE = "D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;OW)"


@dataclass(frozen=True, slots=True)
class Broad:
    """Name the broad groups of a Windows machine that may read, and that may write."""

    readers: tuple[str, ...] = ()
    writers: tuple[str, ...] = ()


def broad_groups(sddl: str) -> Broad:
    """Read a list of rights as Windows writes it (SDDL); no list at all means that everybody may do everything."""
    _, marker, rules = sddl.partition("D:")
    if not marker or "NO_ACCESS_CONTROL" in rules:
        return Broad(("Everyone",), ("Everyone",))
    readers, writers = [], []
    for found in _ACE.finditer(rules):
        parts = found[1].split(";")
        if len(parts) < 6 or parts[0] != "A":
            continue
        name = BROAD.get(parts[5]) or ("Domain Users" if _DOMAIN_USERS.fullmatch(parts[5]) else "")
        mask = _mask(parts[2])
        readers += [name] if name and mask & _READS else []
        writers += [name] if name and mask & _WRITES else []
    return Broad(tuple(dict.fromkeys(readers)), tuple(dict.fromkeys(writers)))


def _mask(text: str) -> int:
    if text.lower().startswith("0x"):
        return int(text, 16)
    return sum({_LETTERS.get(text[place : place + 2], 0) for place in range(0, len(text), 2)})


def icacls(path: Path, *, is_folder: bool) -> str:
    """Return the command that leaves a file or folder to the account of the scheduled run, SYSTEM and Administrators.

    Single quotes: in double ones PowerShell takes the $ at the end of a gMSA's name for the begin of a variable.
    """
    name = f"{os.environ.get('USERDOMAIN', '')}\\{os.environ.get('USERNAME', '')}"
    account = name if name.endswith("$") else "DOMAIN\\account$"
    inside = "(OI)(CI)" if is_folder else ""
    grants = (f"{account}:{inside}{'M' if is_folder else 'R'}", f"*S-1-5-18:{inside}F", f"*S-1-5-32-544:{inside}F")
    quotes = " ".join(f"'{grant}'" for grant in grants)
    return f"icacls {quoted(str(path), windows=True)} /inheritance:r /grant:r {quotes}"


def is_stranger(owner: int) -> bool:
    """Return True if a file's owner is neither this account nor root."""
    return sys.platform != "win32" and owner not in (os.geteuid(), 0)


def account_name(owner: int) -> str:
    """Return the name of an account of this machine, or its number."""
    if sys.platform == "win32":
        return str(owner)
    import pwd

    try:
        return pwd.getpwuid(owner).pw_name
    except KeyError:
        return f"uid {owner}"


def is_others_to_write(found: os.stat_result) -> bool:
    """Return True if everybody on this machine may write, or a group that this account does not belong to."""
    if sys.platform == "win32":
        return False
    in_group = found.st_gid in (os.getegid(), *os.getgroups())
    return bool(found.st_mode & stat.S_IWOTH) or (bool(found.st_mode & stat.S_IWGRP) and not in_group)


def is_link(path: os.DirEntry[str] | Path) -> bool:
    """Return True for a symbolic link, and on Windows for a junction."""
    found = path.stat(follow_symlinks=False) if isinstance(path, os.DirEntry) else path.lstat()
    tag = getattr(found, "st_reparse_tag", 0)
    return stat.S_ISLNK(found.st_mode) or tag in (0xA000000C, 0xA0000003)  # SYMLINK, MOUNT_POINT


def rights_of(path: Path) -> Broad:
    """Return which broad groups may read and write; on POSIX, and where the list cannot be read, none."""
    sddl = _sddl_of(path) if sys.platform == "win32" else ""
    return broad_groups(sddl) if sddl else Broad()


def _sddl_of(path: Path) -> str:
    """Read the access control list; an empty text where this account may not read it."""
    if sys.platform != "win32":
        return ""
    import ctypes
    from ctypes import wintypes

    advapi, kernel = ctypes.WinDLL("advapi32"), ctypes.WinDLL("kernel32")
    descriptor, text = ctypes.c_void_p(), wintypes.LPWSTR()
    dacl = 4  # DACL_SECURITY_INFORMATION; 1 is SE_FILE_OBJECT
    if advapi.GetNamedSecurityInfoW(str(path), 1, dacl, None, None, None, None, ctypes.byref(descriptor)):
        return ""
    try:
        arguments = (descriptor, 1, dacl, ctypes.byref(text), None)
        if not advapi.ConvertSecurityDescriptorToStringSecurityDescriptorW(*arguments):
            return ""
        told = text.value or ""
        kernel.LocalFree(ctypes.cast(text, ctypes.c_void_p))
        return told
    finally:
        kernel.LocalFree(descriptor)


def make_private_folder(path: Path) -> None:
    """Make a folder for its owner only, on Windows with a list of its own; one that is there is left as it is."""
    if path.is_dir():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if sys.platform != "win32":
        path.mkdir(mode=0o700, exist_ok=True)
        return
    import ctypes
    from ctypes import wintypes

    class Attributes(ctypes.Structure):
        _fields_ = (("length", wintypes.DWORD), ("descriptor", ctypes.c_void_p), ("inherit", wintypes.BOOL))

    advapi = ctypes.WinDLL("advapi32", use_last_error=True)
    kernel = ctypes.WinDLL("kernel32", use_last_error=True)
    descriptor = ctypes.c_void_p()
    if not advapi.ConvertStringSecurityDescriptorToSecurityDescriptorW(PRIVATE, 1, ctypes.byref(descriptor), None):
        path.mkdir(mode=0o700, exist_ok=True)
        return
    try:
        wanted = Attributes(ctypes.sizeof(Attributes), descriptor, False)
        if not kernel.CreateDirectoryW(str(path), ctypes.byref(wanted)) and not path.is_dir():
            raise ctypes.WinError(ctypes.get_last_error())
    finally:
        kernel.LocalFree(descriptor)
