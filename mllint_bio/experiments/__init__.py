"""What a run can measure beyond its trace: repeats, counterfactuals, controls. One experiment a module."""
