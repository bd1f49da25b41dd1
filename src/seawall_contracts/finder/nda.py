"""The local model for NDAs: which passages bear on ContractNLI's 17 hypotheses, and what they say of them."""

from seawall_contracts.finder.hypotheses import HYPOTHESES
from seawall_contracts.finder.nda_reader import NdaAnswer, NdaReader
from seawall_contracts.finder.nda_retriever import NdaRetriever

__all__ = ["HYPOTHESES", "NdaAnswer", "NdaReader", "NdaRetriever"]
