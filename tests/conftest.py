import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Models of a test are so small that a second thread only waits for the first."""
    torch.set_num_threads(1)
