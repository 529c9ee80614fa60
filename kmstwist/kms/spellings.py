"""How people and tools spell the words of a product's name: the tables that kmstwist/kms/names.py reads."""

from __future__ import annotations

#: Each word in one spelling. Longest first where names are glued together ("win10pro").
SPELLINGS = {
    "windows": ("win", "w"),
    "server": ("srv", "svr", "serv", "ws"),
    "office": ("o", "off", "msoffice"),
    "professional": ("pro", "prof", "professionnel"),
    "proplus": ("professionalplus",),
    "standard": ("std", "stnd"),
    "datacenter": ("dc", "datacentre", "dtc"),
    "enterprise": ("ent", "entr", "entreprise"),
    "education": ("edu", "éducation"),
    "essentials": ("ess", "essential", "solution"),
    "business": ("bus", "biz"),
    "premium": ("prem",),
    "workstation": ("workstations", "ws4"),
    "ltsc": ("ltsb",),
    "itanium": ("itaniumbased", "ia64"),
    "azure": ("turbine",),
    "visio": ("msvisio",),
    "project": ("proj", "prj", "msproject"),
    "access": (),
    "excel": (),
    "word": (),
    "outlook": (),
    "powerpoint": ("ppt",),
    "publisher": ("pub",),
    "onenote": (),
    "infopath": (),
    "lync": (),
    "skype": ("skypeforbusiness", "sfb"),
    "sharepoint": ("spd", "sharepointworkspace"),
    "multipoint": (),
    "vista": (),
    "iot": (),
    "hyperv": (),
    "nohyperv": (),
    "hpc": (),
    "web": (),
    "evaluation": ("eval",),
    "home": ("famille", "familiale"),
    "ultimate": ("ult",),
    "starter": (),
    "retail": (),
    "mac": ("macos",),
    "xp": (),
    "foundation": (),
    "storage": (),
    "exchange": (),
    "sql": (),
    "multisession": ("serverrdsh", "rdsh", "avd", "wvd"),
}
#: Words that distinguish no product from another.
FILLING = frozenset(
    (
        *(
            "microsoft",
            "ms",
            "the",
            "and",
            "or",
            "for",
            "of",
            "r",
            "tm",
            "plus",
            "os",
            "operating",
            "system",
            "systems",
        ),
        *(
            "edition",
            "editions",
            "ed",
            "based",
            "version",
            "ver",
            "v",
            "volume",
            "vl",
            "kms",
            "client",
            "ae",
            "c2r",
            "msi",
        ),
        *("licence", "license", "licensed", "64", "32", "bit", "sac", "semi", "annual", "channel", "workspace"),
        *("en", "us", "dvd", "iso", "ppd", "oob", "ul", "phn", "xrm", "update", "updated", "with", "für", "pour"),
        *("de", "fr", "english", "german", "french", "deutsch", "englisch", "français"),
    )
)
#: Products that are not in the catalogue, with the reason.
FOREIGN = {
    "home": "Home editions do not activate by KMS",
    "ultimate": "Ultimate editions of Windows do not activate by KMS",
    "starter": "Starter editions of Windows do not activate by KMS",
    "365": "Microsoft 365 Apps activate by a user's sign-in, not by KMS",
    "retail": "a retail edition takes a key of its own; name the volume edition, which activates by KMS",
    "mac": "Office for Mac does not activate by KMS",
    "xp": "Windows before Vista and Server 2008, and Office before 2010, do not activate by KMS",
    "2003": "Windows before Vista and Server 2008, and Office before 2010, do not activate by KMS",
    "2007": "Office before 2010 does not activate by KMS",
    "foundation": "Microsoft publishes no client setup key for Foundation editions",
    "storage": "Microsoft publishes no client setup key for Storage Server",
    "exchange": "Exchange Server does not activate by KMS",
    "sql": "SQL Server does not activate by KMS",
    "multisession": "Microsoft publishes no client setup key for Enterprise multi-session",
    "hyperv": "Hyper-V Server needs no activation",
    "evaluation": "an evaluation edition takes no client setup key before it is converted: "
    "DISM /Online /Set-Edition:EDITION /ProductKey:KEY /AcceptEula",
}
_TWO_WORDS = (("power", "point"), ("one", "note"), ("info", "path"), ("share", "point"), ("multi", "point"))
#: How compounds and abbreviations become one word, in order: a regular expression, and what stands in its place. They
#: are not compiled here, because most programs that use the catalogue read no names.
COMPOUNDS = (
    (r"\((R|TM)\)", " "),
    # An image of an installation medium, as deployment tools name it.
    (r"(?i) in .*\.wim$", " "),
    # The language, as Windows lists what is installed: "- de-de".
    (r"(?i)(?<![a-z0-9])(en|de|fr|es|it|nl|pt|pl|ru|ja|ko|zh|cs|sv|da|nb|fi|tr|hu)-[a-z]{2}(?![a-z0-9])", " "),
    (r"(?i)(?<![a-z0-9])c2r(?![a-z0-9])", " "),
    (r"(?<=[a-zNS])Eval\b", " evaluation"),
    (r"(?i)\b10\.0\.(?=\d{5})", " "),
    (r"(?i)_dvd_[0-9a-f]{6,}|\.iso$|\.xrm-ms$", " "),
    (r"(?i)\b(10|11)\s*(?:/|&|\+|and|or)\s*(?:(?:windows|win|w)\s*)?(?:10|11)\b", r"\1 "),
    (r"(?i)\bmulti[\s-]*session\b|\bvirtual desktops?\b", " multisession "),
    (r"(?i)\bfor\s+ws\b", " workstations "),
    # Home, as DISM names it.
    (r"^(Core|CoreN|CoreSingleLanguage|CoreCountrySpecific)$", "windows home"),
    (r"(?i)(?<=standard)core\b|(?<=datacenter)core\b", " "),
    (r"(?i)(?<=enterprise)( ?)gn\b", " G N"),
    (r"(?i)\b(sp|service pack)\s*\d\b", " "),
    (r"(?i)(?<![a-z0-9])(x64|x86|amd64|arm64|(64|32)-?bit)(?![a-z0-9])", " "),
    (r"(?i)iot", " iot "),
    (r"(?i)\b(w/o|without|no)\s*hyper[\s-]*v\b", " nohyperv "),
    (r"(?i)\bwith hyper[\s-]*v\b", " "),
    (r"(?i)\bhyper[\s-]*v\b", " hyperv "),
    # As DISM and slmgr name a server without it: ServerStandardV.
    (r"(?<=Standard)V\b|(?<=Enterprise)V\b|(?<=Datacenter)V\b", " nohyperv "),
    (r"(?i)(?<=standard)\s?v$|(?<=enterprise)\s?v$|(?<=datacenter)\s?v$", " nohyperv "),
    (r"(?i)\bia-?64\b", " itanium "),
    (r"(?i)pro\s*ws\b", "pro workstations "),
    (r"(?i)\bsfb\b", " skype for business "),
    # What Azure's catalogue appends to an image's name.
    (r"(?i)-(smalldisk|gensecond|g2|gen2)\b", " "),
    (r"(?i)\bdata\s+cent(er|re)\b", " datacenter "),
    *(
        (rf"(?i)(?<![a-z]){first}\s?{second}|(?<=[a-z]){first.title()}{second.title()}", f" {first}{second} ")
        for first, second in _TWO_WORDS
    ),
    (r"(?i)pro(fessional)?\s*(\+|plus(?![a-z])|plus(?=vl|volume))", " proplus "),
    (r"(Pro|Std)X(?=Volume)", r"\1 "),
    (r"(?i)\b(win|windows|w)\s*81(?!\d)", "windows 8.1 "),
    # Editions as DISM names them: EnterpriseS is the LTSC, ServerStandardACor a server without a desktop.
    (r"(?<=[a-z])A?Cor\b", " "),
    (r"EnterpriseS(?=N?\b|N?_)", "Enterprise ltsc "),
    (r"(?i)(?<![a-z0-9])(w|win|ws|srv|server|windows)?\s*2k(?=\d\d?(?!\d))", " windows server 2k"),
)
