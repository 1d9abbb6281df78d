"""Colors of figures."""

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""Okabe and Ito's colors for all kinds of color vision, without yellow, which is faint on white."""
