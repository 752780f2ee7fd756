"""`textinv store policy ROLE`: what a part of a deployment may do to the bucket, as an S3 policy.

Owns the table of which role writes where, in the words of S3; what lies at these prefixes is said by `registry.layout`,
`jobs.layout` and the rooms of the services. Does not hand out keys: that is the matter of whoever runs the store.
"""

from collections.abc import Mapping
from typing import Any, Literal, get_args

Role = Literal["replica", "service", "worker", "driver", "submitter", "operator"]
ROLES: tuple[Role, ...] = get_args(Role)

_PUBLISHED = ("format.json", "heads/", "versions/", "runs/", "done/", "index/")
_GUESSES, _SHARES = ("guesses/",), ("shares/",)
_JOBS = ("jobs/", "jobs-open/", "images/", "checkpoints/", "failures/", "deaths/", "previews/", "fleets/")
_PROBE = "probe/"
"""Whoever writes at all asks a store at connect whether it honours conditions."""
_ALL = ("",)

READS: Mapping[Role, tuple[str, ...]] = {
    "replica": (*_PUBLISHED, *_GUESSES),
    "service": _ALL,
    "worker": (*_PUBLISHED, *_GUESSES, *_SHARES, *_JOBS, _PROBE),
    "driver": (*_PUBLISHED, *_GUESSES, *_JOBS, _PROBE),
    "submitter": (*_PUBLISHED, *_GUESSES, *_SHARES, *_JOBS, _PROBE),
    "operator": _ALL,
}
WRITES: Mapping[Role, tuple[str, ...]] = {
    "replica": (),
    # Rolls back, deletes and purges for its callers, and submits; keys are made by operators only.
    "service": (*_PUBLISHED, *_GUESSES, *_SHARES, *_JOBS, _PROBE, "served/", "replies/"),
    "worker": (*_PUBLISHED, *_GUESSES, "checkpoints/", "failures/", "deaths/", "previews/", _PROBE),
    "driver": (
        *_PUBLISHED,
        "jobs/",
        "jobs-open/",
        "checkpoints/",
        "failures/",
        "deaths/",
        "previews/",
        "fleets/",
        _PROBE,
    ),
    "submitter": (*_PUBLISHED, *_GUESSES, *_SHARES, *_JOBS, _PROBE),
    "operator": _ALL,
}
"""Deleting counts as writing."""


def s3_policy(role: Role, bucket: str, prefix: str) -> dict[str, Any]:
    """The policy of a role, for AWS, MinIO and whatever else reads AWS's documents."""
    root = f"arn:aws:s3:::{bucket}"
    # Of the whole bucket: AWS answers 403, and not 404, to a read of what is not there by somebody who may not list.
    statements = [_allow("s3:ListBucket", [root]), _allow("s3:GetObject", _objects(root, prefix, READS[role]))]
    if WRITES[role]:
        statements.append(_allow(["s3:PutObject", "s3:DeleteObject"], _objects(root, prefix, WRITES[role])))
    return {"Version": "2012-10-17", "Statement": statements}


def seaweedfs_actions(role: Role, bucket: str, prefix: str) -> list[str]:
    """The `actions` of a role's identity in SeaweedFS's `s3.config`."""
    may = {"Read": READS[role], "Write": WRITES[role]}
    each = [f"{action}:{one}" for action, names in may.items() for one in _objects(bucket, prefix, names)]
    # SeaweedFS 4.48 takes a name without a star for that of a bucket.
    return [f"List:{bucket}", *(one if one.endswith("*") else f"{one}*" for one in each)]


def _allow(action: str | list[str], resources: list[str]) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resources}


def _objects(root: str, prefix: str, names: tuple[str, ...]) -> list[str]:
    """What objects with these beginnings are called; a name without a slash at its end is one object."""
    inside = f"{root}/{prefix.strip('/')}/" if prefix.strip("/") else f"{root}/"
    return [f"{inside}{name}" if name and not name.endswith("/") else f"{inside}{name}*" for name in names]
