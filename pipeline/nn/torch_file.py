"""Reads what PyTorch wrote, and says in one line what is wrong with a file that it did not write."""
import sys

import torch


def load(path, device="cpu"):
    try:
        return torch.load(path, map_location=device)
    except OSError as wrong:
        sys.exit(f"cannot read {path}: {wrong.strerror}")
    except Exception as wrong:  # torch.load and pickle raise what they like on files of others
        sys.exit(f"{path} is no checkpoint of PyTorch, such as train.py's checkpoint.pt: {str(wrong).splitlines()[0] if str(wrong) else type(wrong).__name__}")
