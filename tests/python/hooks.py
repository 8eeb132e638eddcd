"""What schemathesis cannot know: the formats that are ours."""

import schemathesis
from hypothesis import strategies

schemathesis.openapi.format("iso-4217", strategies.sampled_from(["EUR", "USD", "JPY"]))
