"""The GPT-2 architecture in plain PyTorch, equal to Hugging Face's GPT2LMHeadModel in what it computes."""

import math
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional


@dataclass
class ModelSize:
    """The numbers that fix the shape of a model."""

    vocabulary: int = 4096
    context: int = 512
    width: int = 256
    layers: int = 6
    heads: int = 4


class Block(nn.Module):
    """One pre-norm transformer layer: causal self-attention, then a feed-forward net, each added to its input."""

    def __init__(self, size: ModelSize) -> None:
        super().__init__()
        self.heads = size.heads
        self.attention_norm = nn.LayerNorm(size.width)
        self.query_key_value = nn.Linear(size.width, 3 * size.width)
        self.attention_output = nn.Linear(size.width, size.width)
        self.feed_forward_norm = nn.LayerNorm(size.width)
        self.expand = nn.Linear(size.width, 4 * size.width)
        self.contract = nn.Linear(4 * size.width, size.width)

    def forward(self, hidden: Tensor) -> Tensor:
        batch, length, width = hidden.shape
        projected = self.query_key_value(self.attention_norm(hidden))
        query, key, value = projected.view(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        hidden = hidden + self.attention_output(attended.transpose(1, 2).reshape(batch, length, width))
        expanded = functional.gelu(self.expand(self.feed_forward_norm(hidden)), approximate="tanh")
        return hidden + self.contract(expanded)


class LanguageModel(nn.Module):
    """Token ids in, next-token logits out; the output layer is the transposed token embedding.

    Training may begin with fewer `active_layers`: the others are still the identity, so skipping them changes nothing.
    """

    def __init__(self, size: ModelSize) -> None:
        super().__init__()
        self.size = size
        self.token_embedding = nn.Embedding(size.vocabulary, size.width)
        self.position_embedding = nn.Embedding(size.context, size.width)
        self.blocks = nn.ModuleList(Block(size) for _ in range(size.layers))
        self.final_norm = nn.LayerNorm(size.width)
        self.active_layers = size.layers
        self.initialize()

    def initialize(self) -> None:
        """Draw the first weights; output projections start at zero, so that every block starts as the identity."""
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.position_embedding.weight, std=0.01)
        for module in self.blocks.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.5 / math.sqrt(module.in_features))
                nn.init.zeros_(module.bias)
        for block in self.blocks:
            nn.init.zeros_(block.attention_output.weight)
            nn.init.zeros_(block.contract.weight)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.token_embedding(tokens) + self.position_embedding.weight[: tokens.shape[1]]
        for block in self.blocks[: self.active_layers]:
            hidden = block(hidden)
        return functional.linear(self.final_norm(hidden), self.token_embedding.weight)
