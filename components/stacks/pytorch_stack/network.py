"""The network of the policy's training section, and the whole model from raw columns to score."""

from __future__ import annotations

import itertools

import torch
from torch import nn

from components.contract.policy import Training
from components.stacks.pytorch_stack.preprocessing import Preprocessing


def build_network(width: int, training: Training) -> nn.Sequential:
    """Features of shape (n, width) to one logit a row, shape (n, 1).

    For each width in ``training.hidden``: linear, ReLU, dropout; then one linear output.
    """
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise((width, *training.hidden)):
        layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(training.dropout)]
    return nn.Sequential(*layers, nn.Linear((width, *training.hidden)[-1], 1))


class RiskModel(nn.Module):
    """Raw columns to the probability of the positive label, float32 of shape (n,)."""

    def __init__(self, preprocessing: Preprocessing, network: nn.Module) -> None:
        super().__init__()
        self.preprocessing = preprocessing
        self.network = network

    def forward(self, *columns: torch.Tensor) -> torch.Tensor:
        return self.score(self.preprocessing(*columns))

    def score(self, features: torch.Tensor) -> torch.Tensor:
        """The probability for features of shape (n, width)."""
        return torch.sigmoid(self.network(features)).squeeze(1)
