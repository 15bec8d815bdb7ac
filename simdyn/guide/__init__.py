"""The guide: its pages, and the command that makes a site of them.

`pages/` holds what is written by hand. `parameter_pages`, `command_pages`, `law_pages`,
`public_names` and `gallery` write the other pages from the tables of the package and from study
files. `examples` runs what the pages show, and `site` hands all of it to Sphinx.
"""
