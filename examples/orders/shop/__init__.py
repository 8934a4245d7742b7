"""A small mail-order shop: the application of this example. Plain Python; only the jobs themselves know of jobyard."""
