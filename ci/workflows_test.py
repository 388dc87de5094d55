#!/usr/bin/env python3
"""Workflow and job files: their structure (ci/workflows.schema.json), their shell, and what they must agree on."""
import copy
import json
import pathlib
import re
import subprocess
import unittest

import yaml

CI = pathlib.Path(__file__).parent
SCHEMA = json.loads((CI / "workflows.schema.json").read_text(encoding="utf-8"))
FILES = {
    "github/crossval.yml": "github",
    "gitlab/crossval.gitlab-ci.yml": "gitlab",
    "kubernetes/crossval.yaml": "kubernetes",
    "kubernetes/merge.yaml": "kubernetes",
}
TYPES = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}


def errors(schema, value, at="$"):
    """What of a value is not as the schema says; of JSON Schema the part that ours needs."""
    if "$ref" in schema:
        return errors(SCHEMA["$defs"][schema["$ref"].rsplit("/", 1)[1]], value, at)
    if "anyOf" in schema:
        found = [errors(one, value, at) for one in schema["anyOf"]]
        return [] if [] in found else min(found, key=len)
    if "const" in schema:
        return [] if value == schema["const"] else [f"{at}: is {value!r}, not {schema['const']!r}"]
    if "enum" in schema:
        return [] if value in schema["enum"] else [f"{at}: {value!r} is none of {schema['enum']}"]
    kind = TYPES[schema["type"]]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        return [f"{at}: {value!r} is no {schema['type']}"]
    found = []
    if kind is dict:
        found += [f"{at}: lacks {name}" for name in schema.get("required", []) if name not in value]
        for name, one in value.items():
            inner = schema.get("properties", {}).get(name, schema.get("additionalProperties", True))
            if inner is False:
                found.append(f"{at}: {name} is not known")
            elif inner is not True:
                found += errors(inner, one, f"{at}.{name}")
    elif kind is list:
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            found.append(f"{at}: has {len(value)} items")
        for index, one in enumerate(value):
            found += errors(schema.get("items", {}), one, f"{at}[{index}]") if "items" in schema else []
    elif kind is str:
        if "pattern" in schema and not re.search(schema["pattern"], value):
            found.append(f"{at}: {value!r} does not match {schema['pattern']}")
    elif not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        found.append(f"{at}: {value} is out of range")
    return found


def load(name):
    with open(CI / name, encoding="utf-8") as file:
        content = yaml.safe_load(file)
    if True in content:  # YAML 1.1 takes the key `on` for a truth
        content["on"] = content.pop(True)
    return content


def shell_error(script):
    return subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True).stderr


class Workflows(unittest.TestCase):
    def test_structure(self):
        for name, kind in FILES.items():
            self.assertEqual(errors(SCHEMA["$defs"][kind], load(name)), [], name)

    def test_the_schema_refuses(self):
        def changed(name, *path, value=None):
            content = copy.deepcopy(load(name))
            inner = content
            for key in path[:-1]:
                inner = inner[key]
            if value is None:
                del inner[path[-1]]
            else:
                inner[path[-1]] = value
            return errors(SCHEMA["$defs"][FILES[name]], content)

        github, gitlab, kubernetes = list(FILES)[:3]
        self.assertTrue(changed(github, "jobs", "compare", "strategy", "fail-fast", value=True))
        self.assertTrue(changed(github, "jobs", "compare", "steps"))
        self.assertTrue(changed(github, "jobs", "report", "steps", 2, "run", value="echo ${{ github.head_ref }}"))
        self.assertTrue(changed(github, "permissions", value={"contents": "write"}))
        self.assertTrue(changed(gitlab, "crossval-compare", "parallel", value="4"))
        self.assertTrue(changed(gitlab, "crossval-compare", "scripts", value=["true"]))
        self.assertTrue(changed(kubernetes, "spec", "completionMode", value="NonIndexed"))
        self.assertTrue(changed(kubernetes, "spec", "template", "spec", "containers", 0, "env", 0, "value", value=8))
        self.assertTrue(changed(kubernetes, "spec", "podFailurePolicy", "rules", 1, "onExitCodes", "values", value=[0]))

    def test_scripts_are_shell(self):
        scripts = [step["run"] for job in load("github/crossval.yml")["jobs"].values() for step in job["steps"] if "run" in step]
        gitlab = load("gitlab/crossval.gitlab-ci.yml")
        scripts += ["\n".join(job[key]) for job in gitlab.values() for key in ("script", "before_script") if key in job]
        for name in ("kubernetes/crossval.yaml", "kubernetes/merge.yaml"):
            scripts += load(name)["spec"]["template"]["spec"]["containers"][0]["args"]
        scripts += [(CI / "slurm" / name).read_text(encoding="utf-8") for name in ("shard.sbatch", "merge.sbatch", "submit", "check")]
        self.assertGreaterEqual(len(scripts), 12)
        for script in scripts:
            self.assertEqual(shell_error(script), "", script)
        self.assertNotEqual(shell_error("if true"), "")

    def test_needs_name_jobs_that_stand_above(self):
        github, gitlab = load("github/crossval.yml")["jobs"], load("gitlab/crossval.gitlab-ci.yml")
        for jobs in (github, gitlab):
            names = list(jobs)
            for name, job in jobs.items():
                needs = job.get("needs", [])
                for needed in [needs] if isinstance(needs, str) else needs:
                    self.assertLess(names.index(needed), names.index(name))

    def test_kubernetes_counts_once(self):
        spec = load("kubernetes/crossval.yaml")["spec"]
        container = spec["template"]["spec"]["containers"][0]
        variables = {entry["name"]: entry["value"] for entry in container["env"]}
        self.assertEqual(variables["JOB_COMPLETIONS"], str(spec["completions"]))
        # A verdict is final; what could not be done is tried again.
        codes = [rule["onExitCodes"]["values"] for rule in spec["podFailurePolicy"]["rules"] if "onExitCodes" in rule]
        self.assertEqual(codes, [[1, 2, 3]])

    def test_what_is_named_is_there(self):
        for name in FILES:
            for path in re.findall(r"(?<![\w/$])(?:ci|fixtures)/[\w./-]+\w", (CI / name).read_text(encoding="utf-8")):
                self.assertTrue((CI.parent / path).exists(), f"{name}: {path}")


if __name__ == "__main__":
    unittest.main()
