"""What programs get of the site: the OpenAPI document and whole tables."""
