"""Recognition by voice prints: bundles, identification, verification, enrollment and timelines."""

FALSE_ACCEPTS = 0.01
"""Default share of strangers who may be given a name, at which error rates are estimated, too."""
