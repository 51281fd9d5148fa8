"""Origins and clients of many makes, which tell what they see, so that ways can be compared.

Each make is a program that is told what to do in lines of JSON: the origins are given one table of
answers (`scenarios.ANSWERS`), the clients batches of scenarios (`scenarios.SCENARIOS`). Nothing of
what they see is judged there: `compare` takes the differences between one way and another.
"""
