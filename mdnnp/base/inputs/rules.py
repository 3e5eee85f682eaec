"""Rules for values that several inputs share."""

from mdnnp.base.inputs.records import Rule

POSITIVE = Rule(lambda v: v > 0, "must be larger than 0")
NOT_NEGATIVE = Rule(lambda v: v >= 0, "must not be negative")
AT_LEAST_ONE = Rule(lambda v: 1 <= v <= 10**12, "must be at least 1 (and at most 1e12)")
SEED = Rule(lambda v: 0 <= v < 2**63, "must be a whole number from 0 to 2^63 - 1")
