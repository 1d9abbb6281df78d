"""Say what a file is that is not a bundle."""

_FOREIGN = {
    b"": "an empty file",
    b"version https://git-lfs": "a Git LFS pointer instead of the file; `git lfs pull` fetches it",
    b"<!": "an HTML page; download the file itself",
    b"<html": "an HTML page; download the file itself",
    b"PK\x03\x04": "a file of torch.save or another zip archive; `speakerid export` makes a bundle of a checkpoint",
    b"RIFF": "a recording",
    b"fLaC": "a recording",
    b"OggS": "a recording",
    b"ID3": "a recording",
}


def foreign(start: bytes) -> str:
    """Describe a file that begins with these bytes and is not a safetensors file."""
    for beginning, kind in _FOREIGN.items():
        if start == beginning or (beginning and start.lstrip().lower().startswith(beginning.lower())):
            return f"found {kind}; expected a bundle"
    return "damaged, or not a safetensors file; expected a bundle, which `speakerid export` makes of a checkpoint"
