"""How fast unspool is beside other engines: `python -m benchmarks` measures, and writes a page and pictures.

models.py makes the models, workloads.py names the rows, contestants/ holds one file for each engine, which runs in a process and with a
Python of its own; duel.py asks them in turn, results.py makes medians and ratios of the answers, page.py and pictures.py show them.
loop.py stands alone: what decoding costs beside a model that is free.
"""
