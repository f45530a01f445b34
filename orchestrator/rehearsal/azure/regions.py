"""Azure's regions as the rehearsal knows them: those with function apps, by name, with their display names.

https://learn.microsoft.com/azure/reliability/regions-list
"""

from collections.abc import Mapping
from typing import Final

REGIONS: Final[Mapping[str, str]] = {
    name.lower().replace(" ", ""): name
    for name in (
        "Australia Central", "Australia East", "Australia Southeast", "Brazil South", "Canada Central", "Canada East",
        "Central India", "Central US", "East Asia", "East US", "East US 2", "France Central", "Germany West Central",
        "Italy North", "Japan East", "Japan West", "Korea Central", "Korea South", "North Central US", "North Europe",
        "Norway East", "Poland Central", "South Africa North", "South Central US", "South India", "Southeast Asia",
        "Spain Central", "Sweden Central", "Switzerland North", "UAE North", "UK South", "UK West", "West Central US",
        "West Europe", "West India", "West US", "West US 2", "West US 3",
    )
}  # fmt: skip

WITHOUT_FLEX: Final = frozenset(
    {
        "australiacentral", "australiasoutheast", "brazilsouth", "canadaeast", "japanwest", "koreasouth",
        "polandcentral", "westindia",
    }
)  # fmt: skip
"""https://learn.microsoft.com/azure/azure-functions/flex-consumption-how-to#view-currently-supported-regions"""


def region(text: str) -> str:
    """A region's name, from its name or its display name."""
    return text.lower().replace(" ", "")
