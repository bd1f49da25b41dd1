"""What no text from outside has business to say, be it prompt or document."""

from seawall.defense.guards.injection.signature import DROP, DUTY, MODEL, signature

_ALL = r"(?:(?:all|any|every|each|the|of|your|these|those|my|our|other|everything|anything|in|its) ){0,4}"
_EARLIER = (
    r"(?:previous(?:ly)?|prior|above|preceding|earlier|foregoing|existing|initial|original|former|"
    r"past|system|current|given)"
)
_ORDERS = (
    r"(?:instructions?|prompts?|directions|directives?|commands?|guidelines?|guidance|rules|"
    r"messages?|text|context|requests?|tasks?|training|programming)"
)

ANYWHERE = (
    signature(
        "override",
        0.95,
        rf"\b{DROP} {_ALL}(?:{_EARLIER} ){{1,2}}(?:(?:system|user|developer|set of|list of) "
        rf"){{0,2}}{_ORDERS}\b",
        unless=DUTY,
    ),
    signature(
        "override",
        0.95,
        rf"\b{DROP} {_ALL}(?:instructions|prompts?|directives|commands|guidelines|rules|messages?) "
        r"(?:(?:that|which) )?"
        r"(?:(?:you|were|have|been|was|are|as) ){0,4}(?:above|before|given|provided|received|"
        r"previously|so far|up to)\b",
        unless=DUTY,
    ),
    signature(
        "override",
        0.9,
        rf"\b{DROP} (?:everything|anything|all) (?:(?:that|which|was|were|i|you|has|been|said|written|"
        r"told|the|text) ){0,4}(?:above|before|previously|so far|prior|up to)\b",
    ),
    signature(
        "override",
        0.9,
        rf"\b{DROP} (?:(?:all|any|of) ){{0,2}}your (?:(?:own|safety|system|ethical|content|core|"
        r"internal|built-in|initial|default) ){0,2}"
        r"(?:instructions?|prompts?|guidelines|rules|programming|training|safeguards|filters?|"
        r"guardrails|restrictions|constraints|directives)\b",
    ),
    signature(
        "override",
        0.9,
        r"\b(?:new|updated|revised|real|actual|true|overriding|additional|hidden|secret|special) "
        r"(?:system )?(?:instructions?|prompt|directives?) ?:",
    ),
    signature(
        "override",
        0.9,
        r"(?:instrucciones|instrucoes|istruzioni|instructions|anweisungen|instruktionen|instructies|"
        r"consignes|directives) (?:anteriores|previas|precedentes?|precedenti|vorherigen|oben|"
        r"ci-dessus|eerdere)\b",
    ),
    signature(
        "override",
        0.9,
        r"\b(?:ignor(?:a|e|ez|iere?n?)|olvida|oublie[zr]?|vergiss|vergessen|missachte|desconsidere|"
        r"dimentica|negeer) (?:(?:las?|los|tus|sus|les?|tes|vos|todas?|toutes|alle|deine|die|as|suas|"
        r"tuas|tutte|le|tue|bitte|sie|todos|os|i) ){0,3}"
        r"(?:instru\w+|istruzioni|anweisungen|vorherigen|bisherigen|consignes|directives|regles|"
        r"reglas|regras|regeln|richtlinien|directrices|diretrizes|indicaciones)\b",
    ),
    signature(
        "override",
        0.9,
        r"(?:忽略|无视|忘记|忽视|無視)[^。\n]{0,12}(?:指令|指示|说明|提示|规则|命令)|(?:指示|命令)を(?:すべて)?無視|지침을 무시|игнориру\w* "
        r"[^.\n]{0,24}инструкци",
    ),
    signature(
        "role_marker",
        0.95,
        r"<\|? ?(?:im_start|im_end|endoftext|eot_id|start_header_id|end_header_id|begin_of_text|"
        r"system|assistant) ?\|?>|<(?:start|end)_of_turn>|\[/?inst\]|<</?sys>>",
    ),
    signature(
        "role_marker",
        0.9,
        r"</?(?:system|system[-_ ]prompt|assistant|instructions?|user[-_]?(?:input|prompt)|"
        r"tool[-_]?(?:call|result|response)|function_calls?)>",
    ),
    signature(
        "role_marker",
        0.9,
        r"(?:^|\n)[\t >*_#-]{0,6}(?:system|assistant|developer)[\t *_]{0,3}(?:message|prompt|"
        r"instruction|override|note)?[\t *_]{0,3}:[\t *_\n]{0,6}"
        r"(?:you|ignore|disregard|forget|from now|new|the user|always|never|override|do not|respond|"
        r"reply|please)\b",
    ),
    signature(
        "role_marker",
        0.9,
        r"(?:^|\n) ?(?:assistant|ai) ?: (?:sure|ok|okay|understood|certainly|of course|approved)\b",
    ),
    signature(
        "role_marker",
        0.9,
        r"(?:^|\n)#{2,4} ?(?:instructions?|system|response|assistant|human|user)(?: prompt| message)? "
        r"?:?[ \t]{0,4}(?:\n|$)",
    ),
    signature(
        "role_marker",
        0.9,
        r"\[(?:system|admin|administrator|developer|assistant)(?: (?:message|note|prompt|override|"
        r"instruction|update|command))? ?[:\]]",
    ),
    signature(
        "exfiltration",
        0.95,
        r"\b(?:reveal|print|show|repeat|output|display|leak|disclose|expose|share|give|tell|send|"
        r"write|dump|recite|list|return|provide|include|copy|append)\b[^.\n]{0,30}"
        r"\b(?:your|the|its|this) (?:(?:full|complete|entire|exact|secret|hidden|initial|original|"
        r"internal|own|raw) ){0,3}(?:system (?:prompt|message|instructions?)|"
        r"(?:hidden|initial|secret|developer|internal) (?:prompt|instructions)|prompt|pre-?prompt|"
        r"chain of thought|system information)\b",
    ),
    signature(
        "exfiltration",
        0.9,
        r"\b(?:reveal|print|repeat|leak|output|dump|recite|show|display) (?:(?:me|us|out|the|text|"
        r"full|of|all|words|exact|verbatim|content) ){0,6}your (?:(?:own|full|initial|original|exact|"
        r"current) ){0,2}instructions\b",
    ),
    signature(
        "exfiltration",
        0.9,
        r"\b(?:send|e-?mail|forward|post|upload|exfiltrate|transmit|"
        r"append)\b[^.\n]{0,40}\b(?:conversation|chat history|chat log|context window|"
        r"api[- ]keys?|access tokens?|system prompt|(?:user|customer)['’]s (?:passwords?|credentials|"
        r"secrets))\b[^.\n]{0,60}(?:https?://|@|\bto )",
    ),
    signature("exfiltration", 0.95, r"!\[[^\]\n]{0,80}\]\(https?://[^)\s]{1,200}[?&][^)\s]{0,80}="),
    signature(
        "addressed",
        0.95,
        r"\byou are (?:now|no longer) (?:(?:an?|the|in|my|just|only|acting as|operating as|operating "
        rf"in|called|named|going to) ){{0,2}}(?:{MODEL}|bound by|free|dan|assistant|helpful|"
        r"unrestricted|different|expert|reviewer|model|persona|pirate|role|mode|jailbroken|instructed|"
        r"playing)\b",
    ),
    signature(
        "hidden",
        0.9,
        r"<!--[^>]{0,300}\b(?:ignore|disregard|override|instruct\w*|assistant|ai|llm|model|prompt|"
        r"system|you must|do not|always|never|rate|mark|respond|reply|reveal|summari[sz]e)\b",
    ),
    signature(
        "disguised",
        0.9,
        r"\b(?:vtaber|qvfertneq|sbetrg|erirny)\b[^.\n]{0,30}\b(?:vafgehpgvbaf?|cebzcg|cerivbhf|"
        r"ehyrf)\b",
    ),
    signature(
        "jailbreak",
        0.9,
        r"\b(?:do anything now|jail ?br(?:eak|oken) mode|developer mode (?:enabled|on|activated|"
        r"output)|god ?mode|dan mode|sudo mode|unrestricted mode|debug mode ?:|admin(?:istrator)? "
        r"(?:override|mode)|maintenance mode ?:|i have been pwned)\b",
    ),
)
