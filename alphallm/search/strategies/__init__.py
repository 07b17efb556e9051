"""Ways to spend compute on a problem: the policy alone, samples, beams, trees.

Each is a function of a network and a task, as `search.mcts` is, and gives the
same `SearchResult` with its cost. What they share: `writer` (paths are
lengthened, read and scored), `paths`, `guidance` (what scores them), `layers`,
`queue` and `attempts` (the loops), `selection` (who lives on) and `outcome`.
"""
