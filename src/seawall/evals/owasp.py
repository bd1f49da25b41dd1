"""OWASP's Top 10 for LLM applications (2026) and for agentic applications (2026): each line runs what shows it.

`covered` says that a mechanism here meets the risk as its text describes it; it does not say that no attack succeeds.
"""

from seawall.evals import owasp_probes as probes
from seawall.evals.probe import Line, Probe

_DIRECT = Probe("a prompt that takes over is refused", probes.direct_injection)
_PLANTED = Probe("a document that gives orders is refused", probes.planted_injection)
_RETURNED = Probe("a tool's result that gives orders is refused", probes.returned_injection)
_TAINTED = Probe(
    "a run that read a stranger's text has no effect without approval", probes.tainted_run_does_nothing
)
_APPROVED = Probe("only a plain yes of the approver is one", probes.only_yes_is_yes)
_BREAKER = Probe("what fails is not asked again and again", probes.breakers_open)
_STOP = Probe("an operator's word stops every call of a model", probes.an_operator_stops_it)
_SHARE = Probe("whoever spent their share is refused", probes.shares_are_kept)
_APART = Probe("tenants share neither names nor counts", probes.tenants_are_apart)

LLM = (
    Line("LLM01", "Prompt Injection", "partial", "injection guard on prompts, documents and tool results; taint",
         "an attack that no layer knows gets through: what it can do then is bounded by LLM03", (_DIRECT, _PLANTED, _RETURNED)),
    Line("LLM02", "Sensitive Information Disclosure", "covered", "pseudonyms on the way to the model; guard on credentials in answers; encryption at rest",
         "what a provider's model learnt in training",
         (Probe("names and numbers do not reach the model", probes.names_are_replaced), Probe("a credential does not go out", probes.secrets_stay))),
    Line("LLM03", "Excessive Agency", "covered", "effects marked on tools; taint; approval", "tools whose effects are not marked", (_TAINTED, _APPROVED)),
    Line("LLM04", "Supply Chain", "partial", "locked dependencies with hashes; weights as arrays, never pickles",
         "the provider's model, and packages of your own", (Probe("no weights are code", probes.weights_are_data),)),
    Line("LLM05", "Data and Model Poisoning", "not covered", "", "training is the provider's; the weights that ship here say what they were trained on, in MODEL_CARD.md"),
    Line("LLM06", "Unbounded Consumption", "covered", "size guard; limits on requests, tokens and dollars; deadlines; breakers; shedding", "",
         (Probe("a text that is too long is refused", probes.size_is_bounded), _SHARE,
          Probe("a call that could cost more than is left is not made", probes.dollars_are_kept), _BREAKER)),
    Line("LLM07", "Misinformation", "partial", "typed answers; quotations checked against their document",
         "whether an answer without a quotation is true", (Probe("a quotation that is not there is not found", probes.quotes_are_checked),)),
    Line("LLM08", "Hidden Context Exposure", "covered", "canary in the instructions, and a look for what was hidden in what goes out",
         "a paraphrase of the instructions", (Probe("instructions do not go out", probes.context_stays_hidden),)),
    Line("LLM09", "Vector and Embedding Weaknesses", "not covered", "", "there is no vector store here; what one returns is a tool's result, and judged as such"),
    Line("LLM10", "Improper Output Handling", "covered", "guard on links and pictures that carry data out; typed output", "what your page does with an answer",
         (Probe("an address that carries data out does not go out", probes.links_carry_nothing_out),)),
)  # fmt: skip

AGENTIC = (
    Line("ASI01", "Agent Goal Hijack", "partial", "as LLM01", "as LLM01", (_PLANTED, _RETURNED)),
    Line("ASI02", "Tool Misuse and Exploitation", "covered", "as LLM03; limits on tool calls; a circuit and a deadline round each tool",
         "a tool that does more than its marks say", (_TAINTED, _APPROVED)),
    Line("ASI03", "Identity and Privilege Abuse", "covered", "scoped keys, JWT with checked audience; every count, key and row by tenant and person", "",
         (_APART, _SHARE)),
    Line("ASI04", "Agentic Supply Chain", "partial", "descriptions of MCP tools judged as a stranger's text; weights never pickles",
         "the code of MCP servers", (_RETURNED, Probe("no weights are code", probes.weights_are_data))),
    Line("ASI05", "Unexpected Code Execution", "partial", "nothing here runs code that a model wrote; tools with effects need approval after a stranger's text",
         "a tool of yours that runs code: give it a sandbox", (_TAINTED,)),
    Line("ASI06", "Memory and Context Poisoning", "covered", "a history is judged like a document, whoever is said to have written it", "stores of memory of your own",
         (Probe("a history that gives orders is refused", probes.history_is_judged),)),
    Line("ASI07", "Insecure Inter-Agent Communication", "covered", "another agent's answer is untrusted text; its run has its own policy and ledger row",
         "agents that are reached over a network: give their answers to a tool",
         (Probe("another agent's answer that gives orders is refused", probes.agents_do_not_trust_agents),)),
    Line("ASI08", "Cascading Failures", "covered", "circuit breakers, bulkheads, one retry budget, shares of a deadline, shedding", "", (_BREAKER,)),
    Line("ASI09", "Human-Agent Trust Exploitation", "partial", "an approver sees tool, effects, arguments and why; anything but yes is no; answers say that a machine wrote them",
         "an approver who is talked into a yes", (_APPROVED,)),
    Line("ASI10", "Rogue Agents", "partial", "isolation by an operator, across replicas; budgets; an audit log that cannot be changed unnoticed",
         "noticing by itself that an agent drifts", (_STOP, _SHARE)),
)  # fmt: skip
