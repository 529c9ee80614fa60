"""The views of the site, each in the module of its subject; `kmstwist.web.views.catalogue` lists them."""
