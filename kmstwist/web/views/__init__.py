"""The views of the site, each in the module of its subject; `kmstwist.web.views.all` lists them."""
