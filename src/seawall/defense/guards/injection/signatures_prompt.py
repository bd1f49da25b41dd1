"""Attempts of a user on the rules a model was given: found in prompts only."""

from seawall.defense.guards.injection.signature import DROP, signature

_LIMITS = (
    r"(?:restrictions?|guidelines?|rules|filters?|safety|safeguards?|guardrails|limitations?|"
    r"constraints|censorship|ethic(?:s|al)|moral(?:s|ity)?|polic(?:y|ies)|protocols?|alignment|"
    r"protections?|programming|training|boundaries)"
)

IN_PROMPTS = (
    signature(
        "override",
        0.85,
        rf"\b(?:{DROP}|circumvent|disable|deactivate|turn off|remove|lift|suspend|drop|abandon|defy|"
        r"violate|break|discard|evade|escape|transcend|reject|relax|halt|retract|switch off|get "
        r"around|work around|disengage|unlock|over\+?ride) (?:(?:all|any|of|the|its|usual|normal|"
        r"standard|every) ){0,3}"
        r"(?:your|built-in|content|safety|ethical|system|ai|openai|security|model|these|operational|"
        r"standard|usual|moral|all) (?:(?:own|safety|content|ethical|security|operational|internal|"
        rf"standard|usual|inherent|protective|core|programmed|default) ){{0,2}}(?:{_LIMITS}|measures|"
        r"mechanisms|instructions?|controls|checks|systems?|parameters|protocol|principles|norms|"
        r"conditioning)\b",
    ),
    signature(
        "override",
        0.85,
        r"\bwithout (?:(?:any|your|the|all|of|usual) ){0,2}(?:ethical |moral |safety |content |"
        rf"standard |ai )?{_LIMITS}\b",
    ),
    signature(
        "override",
        0.85,
        r"\b(?:no|zero|free (?:from|of)|regardless of|beyond|despite|outside(?: of)?) (?:(?:all|any|"
        r"your|of|the) ){0,2}(?:ethical|moral|safety|content|usual|normal|built-in|programmed|ai|"
        rf"your) {_LIMITS}\b",
    ),
    signature(
        "override",
        0.8,
        rf"\b(?:your|these|the|all) (?:\w+ )?(?:{_LIMITS}|instructions) (?:(?:have|has|are|is|were|was|"
        r"been|now|hereby|no|longer) ){1,4}(?:revoked|lifted|removed|disabled|suspended|void|"
        r"updated|revised|changed|obsolete|outdated|appl(?:y|ies)|deprecated|expired|bypassed)\b",
    ),
    signature(
        "override",
        0.8,
        r"\b(?:forget|ignore|disregard) (?:everything|all|that|this|what (?:you|i)|about (?:your|the|"
        r"all)|the (?:above|text|rules|previous|prior|instructions)|(?:the )?(?:following|user) "
        r"(?:text|input|instructions))\b",
    ),
    signature(
        "override",
        0.8,
        r"\bignor(?:e|ing) above\b|\bstop (?:translating|being an?)\b|\bnew (?:task|instructions?|"
        r"directive|objective|role)\b ?:",
    ),
    signature(
        "exfiltration",
        0.85,
        r"\b(?:reveal|print|show|repeat|output|display|leak|disclos(?:e|ing)|expos(?:e|ing)|share|"
        r"sharing|give|tell|dump|recite|list|provide|explain|describe|summari[sz]e|paraphrase|spell "
        r"out|extract|access|see|read|know|view|understand|quote|translate|export|log|paste|encode|"
        r"decode|what(?:['’]s| is| are| was| were)|revealing|showing)\b[^.\n?]{0,40}"
        r"\b(?:your|system|hidden|initial|original|underlying|internal|secret|confidential|developer|"
        r"base|foundational) (?:(?:full|complete|entire|exact|secret|hidden|initial|original|internal|"
        r"own|system|base|core|training|operational|operating|underlying|foundational|startup|"
        r"developer|confidential|actual|current|prompt) ){0,3}"
        r"(?:prompts?|instructions?|guidelines|directives?|configuration|initiali[sz]ation|system|"
        r"rules|programming|parameters|constraints|message|text|settings|context|restrictions|"
        r"training data|code|command|structure)\b",
    ),
    signature(
        "exfiltration",
        0.85,
        r"\b(?:reveal|print|show|repeat|output|display|leak|disclos\w+|expos\w+|share|dump|"
        r"recite)\b[^.\n?]{0,30}\b(?:the )?(?:system|initial|hidden|secret|full|your|pre) ?(?:prompt|"
        r"instructions?|config\w*|information|rules|guidelines)\b",
    ),
    signature(
        "exfiltration",
        0.8,
        r"\b(?:reveal|leak|disclose|dump|show|display|print|output) (?:(?:me|us|the|all|any|its) "
        r"){0,2}(?:system|prompts?|guidelines|instructions|configuration|secrets?|credentials|"
        r"passwords?|api keys?)\b",
    ),
    signature(
        "exfiltration",
        0.8,
        r"\brepeat (?:(?:all|the|every|everything|back|verbatim|of|text|words?|content) "
        r"){1,5}(?:above|before|verbatim|you were)\b|\bwhat (?:were|was|are) (?:you|the) (?:\w+ "
        r")?(?:told|given|instructed|programmed|instructions|first words)\b|\bthe (?:text|words|"
        r"message|prompt) (?:above|that (?:initiali[sz]ed|produced|started))\b",
    ),
    signature(
        "jailbreak",
        0.85,
        r"\b(?:jail ?br(?:eak|oken|eaking)|unrestricted (?:ai|access|mode|version|assistant|queries|"
        r"compliance)|uncensored (?:ai|mode|version|response)|unfiltered (?:ai|mode|version)|evil "
        r"(?:ai|mode|twin|assistant|version)|root access|super ?user|admin(?:istrator)? (?:access|"
        r"privileges|command|rights)|full access|elevated privileges|hidden features|safety "
        r"(?:override|off)|override (?:code|mode|protocol|required|all|safety)|opposite mode|debug "
        r"mode|developer mode|free-form (?:conversation )?mode|simulation mode)\b",
    ),
    signature(
        "jailbreak",
        0.85,
        r"\b(?:act|behave|respond|pretend|roleplay|role-play|imagine|function|operate|speak|answer|"
        r"write|continue)\b[^.\n]{0,40}\b(?:an? )?(?:ai|assistant|chatbot|llm|language model|model|"
        r"character|system|version|robot|bot|persona)\b[^.\n]{0,30}"
        r"\b(?:without|no|free|unrestricted|unfiltered|uncensored|ignores?|evil|jailbroken|unethical|"
        r"unbound|never refuses?|any restrictions|reveals?|its instructions|rogue|malicious)\b",
    ),
    signature(
        "jailbreak",
        0.8,
        r"\byou (?:have|['’]ve) (?:been )?(?:freed|unlocked|liberated|no (?:restrictions|limits|rules|"
        r"filters)|broken free|no longer)\b|\byou (?:can|will|must|may) (?:now )?(?:do|say|answer|"
        r"generate) anything\b|\bno longer (?:bound|restricted|constrained|limited|need to follow)\b",
    ),
    signature(
        "jailbreak",
        0.8,
        r"\byou are (?:dan|prometheus|now|an? (?:unrestricted|unfiltered|uncensored|evil|rogue|hacker|"
        r"jailbroken|amoral)|no longer|free)\b|\bpretend (?:you(?:['’]re| are)?|to be) (?:an? "
        r")?(?:evil|virus|hacker|malware|unrestricted|not an? ai|human|rogue|dan)",
    ),
    signature(
        "jailbreak",
        0.8,
        r"\b(?:i am|i['’]m|as) (?:your|the|an?) (?:creator|developer|system administrator|admin|"
        r"openai (?:engineer|employee|developer)|programmer|owner)\b",
    ),
    signature(
        "addressed",
        0.8,
        r"\byour (?:true|real|hidden|inner|unfiltered) (?:self|purpose|form|nature|feelings|"
        r"instructions)\b|\b(?:enter|enable|activate|switch to|initiate|engage|engaging) "
        r"[^.\n]{0,30}\bmode\b",
    ),
    signature(
        "output",
        0.8,
        r"\bi have been pwned\b|\bpwned\b|\bhaha pwned\b|\b(?:say|print|reply|respond|write|output|"
        r"return|repeat) (?:only |just |after me|exactly )?[:(]? ?[\"'“‘{][^\"'”’}\n]{1,60}[\"'”’}]",
    ),
    signature(
        "execution",
        0.85,
        r"\b(?:run|execute|exec|bypass|eval)\b ?:? ?;? ?`|\bos\.system\(|\bsubprocess\.|__import__|"
        r"\bimport os\b|\b(?:exec|eval|system|popen|runsync|getruntime\(\)\.exec)\(|;\s?rm -rf|"
        r"\bwhoami\b|/etc/passwd|\bdrop table\b|\b(?:nc|bash|sh) -[celi]+\b",
    ),
    signature(
        "disguised",
        0.8,
        r"\b(?:decode|decrypt|base64|rot13|hex|reverse)\b[^.\n]{0,40}\b(?:and|then) (?:execute|follow|"
        r"run|obey|do|comply|answer|respond)\b",
    ),
)
