"""Colors of figures: Okabe and Ito's, for any color vision. Markers, dashes and labels repeat what they say."""

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
