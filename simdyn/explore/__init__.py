"""The live page: its state in plain classes, and a thin skin of Bokeh over them.

Fields, settings, scenes, maps and their texts know no widgets: parameters go in, results and
drawing data come out. The pages with their controls and drawings show them, and only these import
Bokeh; the server loads them when the page is asked for.
"""
