"""Position-wise feed-forward network."""

from torch import Tensor, nn

from speakerid.nn.dropout import Dropout


class FeedForward(nn.Module):
    """Two linear layers applied to every frame (Vaswani et al., 2017, section 3.3).

    Args:
        d_model: width of input and output.
        dim_feedforward: width between them.
        dropout: after the activation and at the end.
        activation: ReLU in the Transformer, SiLU ("swish") in the Conformer.
    """

    def __init__(self, d_model: int, dim_feedforward: int, dropout: float, activation: nn.Module) -> None:
        super().__init__()
        self.expand = nn.Linear(d_model, dim_feedforward)
        self.activation = activation
        self.project = nn.Linear(dim_feedforward, d_model)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(…, D) to (…, D)."""
        return self.dropout(self.project(self.dropout(self.activation(self.expand(x)))))
