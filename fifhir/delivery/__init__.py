"""From a parcel to a confirmation: limiter, breaker, retry."""
