"""A Slack that behaves, for the demo, the benchmark and the tests.

It keeps Slack's own rules (scopes, limits, tickets, three seconds for an ack), so that what works
with Slack's client libraries here works there. Nothing of it leaves this machine.
"""

from simulator.slack.double import SlackDouble
from simulator.slack.faults import Call, Fault, Limit
from simulator.slack.payloads import CannotDo, Interaction, SignedRequest
from simulator.slack.socket import Ack, Envelope, Link
from simulator.slack.workspace import (
    Channel,
    Message,
    OpenView,
    Unknown,
    User,
    Usergroup,
    Workspace,
)

__all__ = [
    "Ack",
    "Call",
    "CannotDo",
    "Channel",
    "Envelope",
    "Fault",
    "Interaction",
    "Limit",
    "Link",
    "Message",
    "OpenView",
    "SignedRequest",
    "SlackDouble",
    "Unknown",
    "User",
    "Usergroup",
    "Workspace",
]
