import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { CodedError } from "../../daemon/errors.ts";
import { assertWritablePath } from "../../daemon/git/paths.ts";

const refused = (path: string) =>
  assert.throws(
    () => assertWritablePath(path),
    (error) => error instanceof CodedError && error.code === "NAME_INVALID",
    path,
  );

test("files of compositions and decisions may be written", () => {
  for (const path of [
    "orchestrations/a.yaml",
    "profiles/base_x-1.2.yaml",
    "components/0.yaml",
    "orchestrations/a_decisions.yaml",
    "orchestrations/a_decisions/0001.yaml",
  ]) {
    assertWritablePath(path);
  }
});

test("hostile paths are refused", () => {
  const names = [
    "..",
    "../x",
    ".git/config",
    ".GIT",
    ".git",
    "a..b",
    "a.lock",
    "a/b",
    "A",
    "a\u200b",
    "a:stream",
    "git~1",
    "con",
    "nul.x",
    "a.",
    "",
    "-a",
    "a b",
    "a\n",
    "ａ",
    "x".repeat(65),
    "a\u0000",
  ];
  for (const name of names) {
    refused(`orchestrations/${name}.yaml`);
    refused(`profiles/${name}.yaml`);
  }
  for (const path of [
    ".git/config",
    "orchestrations/../.git/config.yaml",
    "/etc/a.yaml",
    "other/a.yaml",
    "a.yaml",
    "orchestrations/a.yml",
    "profiles/a_decisions/0001.yaml",
    "orchestrations/a_decisions/1.yaml",
    "orchestrations/A_decisions/0001.yaml",
  ]) {
    refused(path);
  }
});

test("an accepted path never leaves its folder nor touches .git", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme", maxLength: 20 }), (name) => {
      try {
        assertWritablePath(`components/${name}.yaml`);
      } catch {
        return;
      }
      assert.match(name, /^[a-z0-9][a-z0-9_.-]*$/);
      assert.ok(!name.includes(".."));
    }),
  );
});
