"""Titles of the ten tips (Lee et al., Ten quick tips for deep learning in biology), shortened."""

TIPS = {
    1: "Decide whether deep learning is appropriate",
    2: "Use traditional methods as baselines",
    3: "Understand the complexities of training",
    4: "Know your data and your question",
    5: "Choose representation and architecture",
    6: "Tune hyper-parameters systematically",
    7: "Address overfitting: splits, leakage, evaluation",
    8: "Make models more transparent",
    9: "Do not over-interpret predictions",
    10: "Consider the ethical implications",
}
