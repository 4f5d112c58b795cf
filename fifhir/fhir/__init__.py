"""FHIR R4 from events: resources by tables, bundles that a server may get twice."""
