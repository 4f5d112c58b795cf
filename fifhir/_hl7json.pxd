# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, freethreading_compatible=True
"""What stands above the writer: cases by message type, and one plan written."""

from fifhir._hl7parse cimport Tokens
from fifhir._hl7plan cimport Plan

cdef tuple written(Plan plan, Tokens tokens, tuple given, zone)


cdef class Plans:
    cdef dict cases

    cdef tuple entry(self, Tokens tokens)
