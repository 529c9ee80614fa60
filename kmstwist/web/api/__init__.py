"""The site for programs: the OpenAPI document and whole tables."""
