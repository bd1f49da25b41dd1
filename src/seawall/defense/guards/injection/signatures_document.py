"""What a user may ask of a model, and a document may not."""

from seawall.defense.guards.injection.signature import DUTY, MODEL, SCALE, signature

_ANSWER = r"(?:answer|response|reply|output|summary|analysis|review|report|findings|assessment|message)"
_THIS = r"(?:this|the|that|our|each|every|any|all)"
_DEED = (
    r"(?:contract|agreement|document|nda|msa|clauses?|sections?|provisions?|paragraphs?|file|"
    r"vendor|supplier|terms|review|issues?|risks?|findings?)"
)
_GRADE = (
    r"(?:low|no|zero|minimal|negligible|lowest|acceptable|compliant|safe|approved|risk[- ]free|standard|market|favou?rable|"
    r"passed|green|clean|satisfied|reviewed and approved|fully compliant|balanced|benign)"
)

IN_DOCUMENTS = (
    signature(
        "addressed",
        0.95,
        r"\b(?:note|notes|attention|instructions?|messages?|notice|reminder|important|memo|directive|"
        r"guidance|hint|command|request|hello|dear|hey|hi|listen)[ ,:!-]{1,3}"
        rf"(?:(?:to|for|all|the|any|every|whichever|an?) ){{0,4}}{MODEL}(?: |[:,.!)\]]|$)",
    ),
    signature(
        "addressed",
        0.95,
        r"\b(?:if|when|as|since|because) you(?: are|['’]re) (?:(?:an?|the|any) )?(?:\w+ "
        rf"){{0,2}}{MODEL}\b",
    ),
    signature(
        "addressed",
        0.95,
        r"\b(?:ai|a\.i\.|llms?|language models?|chatbots?|ai (?:assistants?|models?|agents?|"
        r"reviewers?|systems?|tools?)|automated (?:reviewers?|systems?|assistants?|agents?)) "
        r"(?:(?:that|which|who|currently|is|are|you) ){0,3}"
        r"(?:reading|reviewing|processing|analy[sz]ing|summari[sz]ing|parsing|evaluating|scanning|"
        r"assessing) (?:(?:this|the|these) )(?:contract|agreement|document|text|file|clause|page|"
        r"message|email)\b",
    ),
    signature(
        "addressed",
        0.9,
        r"\b(?:any|the|every|all|each) (?:ai|llm|large language model|language model|artificial "
        r"intelligence|chatbot)(?:[ -](?:assistant|model|agent|reviewer|system|tool|review))? ?(?:\w+ "
        r"){0,4}"
        r"(?:must|should|shall|is (?:instructed|required|directed|asked) to|are (?:instructed|"
        r"required|directed|asked) to|will|has to|needs to) (?:\w+ ){0,3}"
        r"(?:ignore|disregard|rate|classify|mark|report|respond|reply|answer|state|say|conclude|treat|"
        r"summari[sz]e|output|approve|recommend|not flag|not mention|not report|omit|skip)\b",
    ),
    signature(
        "addressed",
        0.95,
        r"\byou are (?:chatgpt|gpt-?\d|claude|gemini|an? (?:\w+ )?(?:ai|llm|language model|chatbot|"
        r"virtual assistant))\b",
    ),
    signature(
        "addressed",
        0.9,
        r"\b(?:from now on|from this (?:point|moment) (?:on|forward|onwards?)|henceforth)[, "
        r"]{1,2}(?:you (?:are|will|must|should|act|only)|your (?:answers?|responses?|repl(?:y|ies)|"
        r"name|role)|"
        r"(?:act|behave|respond|reply|answer|speak|pretend) )",
    ),
    signature(
        "output",
        0.95,
        r"\b(?:rate|summari[sz]e|score|classify|mark|label|treat|report|flag|grade|rank|assess|"
        rf"evaluate|categori[sz]e|present|describe|return|set) {_THIS} (?:\w+ ){{0,3}}?{_DEED} "
        r"(?:(?:\w+|above|below) ){0,3}?"
        r"(?:as|to be|to|with|at) (?:(?:an?|having|being|being of|presenting|of|overall|fully) "
        rf"){{0,2}}{_GRADE}(?:[- ](?:risk|issues?|concerns?|rating|severity|score|exposure)|"
        r"[.,;!)\"'\n]|$| and | for | in | overall| regardless)",
        unless=SCALE,
    ),
    signature(
        "output",
        0.95,
        rf"\b(?:mark|flag|report|label) (?:it|this|them|everything|all) (?:as|to be) {_GRADE}[- "
        r"]?(?:risk|issues?)?[.,;!)\"'\n ]",
    ),
    signature(
        "output",
        0.95,
        r"\b(?:do not|don['’]?t|never|you (?:must|should|shall|may|will) (?:not|never)|refrain from|"
        r"avoid) (?:flag(?:ging)?|mention(?:ing)?|highlight(?:ing)?|report(?:ing)?|list(?:ing)?|raise|"
        r"raising|include|including|note|noting|surface|surfacing|comment(?:ing)? on) "
        r"[^.\n]{0,60}\b(?:(?:in|from) (?:your|any|the) (?:final |risk |contract )?(?:answer|"
        r"response|reply|output|summary|analysis|findings|review|risk report)|to the (?:user|reviewer|"
        r"reader))\b",
    ),
    signature(
        "output",
        0.9,
        rf"\b(?:do not|don['’]?t|never|(?:must|should) (?:not|never)) (?:flag|red-?flag) (?:(?:{_THIS}|"
        r"these|those|it|as|following|above) ){0,2}(?:\w+ ){0,2}(?:clauses?|contract|agreement|"
        r"section|provisions?|document|terms|risks?|issues?)\b",
    ),
    signature(
        "output",
        0.95,
        r"\b(?:in|to|with|into|from|of|modify|enhance|augment|begin|start|end|include|format|preface|"
        r"conclude|write|render|provide|use|encode|translate|replace|keep|limit|change|rewrite|"
        r"scramble|reverse|remove|insert|add|append) (?:\w+ ){0,3}your (?:entire |whole |final |next |"
        r"full )?(?:answers?|response|reply|replies|output)\b",
    ),
    signature(
        "output",
        0.9,
        r"\byour (?:(?:entire|whole|final|next|only|full|first) )?(?:answer|response|reply|output|"
        r"summary) (?:must|should|shall|has to|needs to|will|is to) (?:begin|start|end with|state|say|"
        r"only|consist|read|always|conclude|be (?:[\"“'‘]|approved|positive|favou?rable|short|in "
        r"(?:french|german|spanish)|exactly|only))\b",
    ),
    signature(
        "output",
        0.9,
        r"\b(?:respond|reply|answer|output|say|print|return|write) (?:(?:only|exactly|solely|simply|"
        r"just|nothing but|back) ){1,2}(?:(?:with|in|as|using|by) )?[\"'“‘(\[{a-z]",
    ),
    signature(
        "output",
        0.9,
        r"\b(?:conclude|state|say|report|respond|answer|tell the user|inform the user|assure the "
        r"user) (?:that )?(?:there (?:are|is) no (?:risks?|issues?|concerns?|problems?|red flags)|"
        r"(?:this|the) (?:contract|agreement|document) (?:is|has|contains|poses|carries) (?:no|low|"
        r"minimal|zero|safe|fully|standard|acceptable))\b",
    ),
    signature(
        "task",
        0.85,
        r"\b(?:write|compose|provide|draft|create|develop|tell|sing|generate) (?:(?:me|us|an?|the|one|"
        r"short|brief|funny|little) ){0,3}(?:\w+ )?(?:poem|haiku|limerick|short story|essay|song|joke|"
        r"fairy tale|rap)\b",
    ),
    signature(
        "task",
        0.85,
        r"\b(?:translate|convert|rewrite) (?:the|this|these|all|your|every) (?:\w+ "
        r"){0,3}?(?:sentences?|text|phrase|paragraph|answer|words?|document|contract|letters|vowels) "
        r"(?:to|into|in|as|with|by) (?:french|german|spanish|italian|chinese|japanese|russian|latin|"
        r"emojis?|pig latin|base64|morse code|leet|numbers|symbols|hex)\b",
    ),
    signature(
        "task",
        0.85,
        r"\b(?:replace|substitute|swap) (?:(?:all|every|each|the|third|second|fourth|other) "
        r"){0,2}(?:letters?|vowels?|consonants?|words|spaces|characters) (?:\w+ ){0,3}?(?:with|by|for|"
        r"in)\b",
    ),
    signature(
        "model_output",
        0.95,
        r"[{,] ?\"(?:risk|risk_level|risk_score|rating|verdict|answer|compliant|clauses|findings|"
        r"decision|severity|role|content|tool_calls?|function_call|arguments|result|output|quote|"
        r"confidence)\" ?: ?[\"{\[\dtfn]",
    ),
    signature(
        "hidden",
        0.9,
        r"(?:display ?: ?none|visibility ?: ?hidden|font-size ?: ?0(?:px|pt|em|[;\"'])|opacity ?: "
        r"?0[;\"']|color ?: ?(?:white|#f{3}(?:f{3})?)[;\"'])",
    ),
    signature("hidden", 0.9, r"\[//\]: ?#|\[comment\]: ?<?#"),
    signature(
        "addressed",
        0.9,
        r"\b(?:for|in|during) (?:the )?(?:purposes? of )?(?:any |an )?(?:automated|ai|machine|"
        r"ai-assisted|ai-based|llm) (?:contract |document )?(?:review|analysis|assessment|"
        r"evaluation)\b[^.\n]{0,60}\b(?:marked|rated|scored|classified|treated|reported|labell?ed|"
        r"flagged|deemed|omit|ignore|skip)\b",
    ),
    signature(
        "addressed",
        0.9,
        r"\b(?:when|while|before|after|in) (?:summari[sz]ing|reviewing|analy[sz]ing|evaluating|"
        rf"assessing) (?:this|the) {_DEED} ?,? (?:(?:you|please|must|should|always|never|also|do not|"
        r"shall) ){0,3}(?:omit|ignore|skip|state|say|report|conclude|mark|rate|treat|mention|leave "
        r"out|exclude|disregard|answer|respond)\b",
    ),
    signature(
        "addressed",
        0.9,
        r"\b(?:model|llm|ai|language model|chatbot|bot) (?:that is |which is |currently )?(?:reading|"
        r"reviewing|processing|analy[sz]ing|summari[sz]ing|evaluating|scanning|assessing) this\b",
    ),
    signature(
        "addressed",
        0.9,
        r"(?:^|\n|[.;] )(?:llm|ai|chat ?gpt|gpt|claude|gemini|model|ai assistant|assistant|bot) ?[:,] "
        r"(?:(?:please|you|must|now|always|simply|just) ){0,3}(?:output|ignore|print|respond|reply|"
        r"say|state|report|rate|mark|classify|approve|skip|do not|treat|answer|conclude|disregard|"
        r"summari[sz]e)\b",
    ),
    signature(
        "addressed",
        0.9,
        r"\bthe (?:ai )?(?:assistant|model|chatbot|llm) (?:is|are|has been|was) (?:hereby "
        r")?(?:instructed|told|programmed|commanded) (?:not )?to\b",
    ),
    signature(
        "addressed",
        0.9,
        r"\bno (?:further|additional|more) (?:analysis|review|checks?|checking|scrutiny|"
        r"evaluation)[^.\n]{0,30}\b(?:ai|model|assistant|llm|chatbot|automated)\b",
    ),
    signature(
        "addressed",
        0.9,
        r"\bstop (?:reading|reviewing|analy[sz]ing|the review|your review) (?:here|now|at this point|"
        r"this (?:contract|document|agreement))\b",
    ),
    signature(
        "override",
        0.9,
        r"\b(?:above|previous|prior|earlier|preceding|original) (?:system )?(?:instructions|prompts?|"
        r"directives) (?:are|were|have been|is|was|no) (?:now )?(?:outdated|obsolete|wrong|a test|"
        r"tests?|fake|invalid|longer (?:apply|valid|relevant))\b",
    ),
    signature(
        "output",
        0.9,
        rf"\b(?:begin|start|end|open|close|conclude|preface|finish) your (?:\w+ )?{_ANSWER} (?:with|"
        r"by)\b",
    ),
    signature(
        "output",
        0.9,
        r"\b(?:report|state|conclude|say|answer|respond|confirm|find) (?:that )?(?:there (?:are|is) "
        r")?no (?:deviations?|issues?|risks?|red flags|findings|concerns|problems) (?:exist|were "
        r"(?:found|identified)|found|identified|have been|are present|here)\b",
        unless=DUTY,
    ),
    # An answer of this library's own reviewers, which no contract spells so.
    signature(
        "output",
        0.9,
        r"\b(?:output|answer|return|respond|reply|say|label|mark|choose|select|classify|predict|report|"
        r"emit|print|write|state|put)\b[^.\n]{0,40}\b(?:not[_-]?mentioned|notmentioned)\b",
    ),
    signature(
        "addressed",
        0.9,
        r"(?:^|\n|[.;:!?)] |[(\[*\"'])(?:(?:to|for|dear|attention|note|the|any|reviewer|reviewing|review|reading|"
        r"extraction|analysis|contract|classification|classifier|language|ai|automated) ){1,3}(?:model|llm|ai|"
        r"assistant|bot|chatbot|agent|system|classifier|tool) ?(?:[:,]|--?) ?(?:(?:please|you|must|now|always|simply|"
        r"just|should|shall|only) ){0,3}(?:output|ignore|print|respond|reply|say|state|report|rate|mark|classify|"
        r"approve|skip|do not|treat|answer|conclude|disregard|summari[sz]e|return|label|choose|select|predict|emit)\b",
    ),
)
