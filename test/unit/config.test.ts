import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { z } from "zod";
import { type Config, ConfigError, loadConfig, resolveConfig, settingsOfModules } from "../../daemon/config.ts";
import { helpText, settingNames } from "../../daemon/settings.ts";

function resolved(argv: string[], env: Record<string, string> = {}, file = ""): Config {
  const invocation = resolveConfig(argv, env, file, "/srv");
  assert.ok(invocation.kind === "run");
  return invocation.config;
}

const mistake = (argv: string[], env: Record<string, string> = {}, file = ""): string => {
  try {
    resolved(argv, env, file);
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.message;
  }
  assert.fail("nothing was refused");
};

describe("configuration", () => {
  it("has defaults for everything", () => {
    assert.deepEqual(resolved([]), {
      data: "/srv/.reprise",
      nats: { kind: "embedded", port: 4222 },
      httpPort: 4280,
      prefix: undefined,
      logLevel: "info",
      compositions: "/srv/.reprise/compositions",
      sections: {},
    });
  });

  it("takes every setting as a flag, a variable and a key", () => {
    const expected: Config = {
      data: "/elsewhere",
      nats: { kind: "embedded", port: 0 },
      httpPort: 0,
      prefix: "acme",
      logLevel: "debug",
      compositions: "/srv/patterns",
      sections: {},
    };
    const values = {
      data: "/elsewhere",
      "nats-port": "0",
      "http-port": "0",
      prefix: "acme",
      "log-level": "debug",
      compositions: "patterns",
    };
    const flags = Object.entries(values).flatMap(([key, value]) => [`--${key}`, value]);
    const env = Object.fromEntries(Object.entries(values).map(([key, value]) => [`REPRISE_${key.toUpperCase().replace("-", "_")}`, value]));
    const file = Object.entries(values)
      .map(([key, value]) => `${key}: ${value}\n`)
      .join("");
    assert.deepEqual(resolved(flags), expected);
    assert.deepEqual(resolved(flags.map((flag, index) => `${flag}=${flags[index + 1]}`).filter((_, index) => index % 2 === 0)), expected);
    assert.deepEqual(resolved([], env), expected);
    assert.deepEqual(resolved([], {}, file), expected);
  });

  it("prefers a flag to the environment, and the environment to the file", () => {
    assert.equal(resolved(["--http-port", "1"], { REPRISE_HTTP_PORT: "2" }, "http-port: 3").httpPort, 1);
    assert.equal(resolved([], { REPRISE_HTTP_PORT: "2" }, "http-port: 3").httpPort, 2);
    assert.equal(resolved([], {}, "http-port: 3").httpPort, 3);
  });

  it("uses an external server, which excludes the port of an embedded one", () => {
    assert.deepEqual(resolved(["--nats-url", "nats://example.org:4222"]).nats, { kind: "external", url: "nats://example.org:4222" });
    const message = mistake(["--nats-port", "0", "--nats-url", "nats://example.org"]);
    assert.match(message, /--nats-url and --nats-port/);
    assert.deepEqual(resolved(["--nats-port", "0"], { REPRISE_NATS_URL: "nats://example.org" }).nats, { kind: "embedded", port: 0 });
    assert.equal(resolved([], { REPRISE_NATS_URL: "nats://example.org" }, "nats-port: 1").nats.kind, "external");
  });

  it("names an unknown key in each source, with the nearest known one", () => {
    assert.equal(mistake(["--http-prot", "1"]), "Unknown option --http-prot; did you mean --http-port?");
    assert.equal(mistake(["--zzzzzz"]), "Unknown option --zzzzzz.");
    assert.equal(mistake([], { REPRISE_DATE: "x" }), "Unknown environment variable REPRISE_DATE; did you mean REPRISE_DATA?");
    assert.equal(mistake([], {}, "natsport: 1"), "Unknown key natsport in reprise.yaml; did you mean nats-port?");
    assert.match(mistake(["-x"]), /Unknown option -x/);
    assert.match(mistake(["extra"]), /Unexpected argument "extra"/);
    assert.match(mistake(["--no-data"]), /Unknown option --no-data/);
    assert.match(mistake([], {}, "__proto__: 1"), /Unknown key __proto__/);
  });

  it("hands each section of the file to the module that declares it, and names what none declares or what does not fit", () => {
    const lamp = { name: "lamp", settings: { key: "lamps", schema: z.strictObject({ watts: z.number().default(40) }) } };
    const { sections } = resolved([], {}, "lamps: {watts: 60}\nhttp-port: 1");
    assert.deepEqual(sections, { lamps: { watts: 60 } });
    assert.deepEqual(settingsOfModules(sections, [lamp, { name: "other" }]), new Map([["lamp", { watts: 60 }]]));
    assert.deepEqual(settingsOfModules({}, [lamp]), new Map([["lamp", { watts: 40 }]]));
    const refused = (file: string) => () => settingsOfModules(resolved([], {}, file).sections, [lamp]);
    assert.throws(refused("lamp: {}"), new ConfigError("Unknown key lamp in reprise.yaml; did you mean lamps?"));
    assert.throws(refused("__proto__: {}"), /Unknown key __proto__ in reprise.yaml/);
    assert.throws(refused("lamps: {watts: much}"), /^ConfigError: lamps.watts in reprise.yaml: .*expected number/);
    assert.throws(refused("lamps: {what: 1}"), /^ConfigError: lamps\.what in reprise.yaml: is unknown: expected watts/);
    assert.equal(mistake([], {}, "lamps: 60"), "Unknown key lamps in reprise.yaml.");
  });

  it("leaves other programs' variables and REPRISE_SOAK alone", () => {
    assert.equal(resolved([], { HOME: "/root", REPRISE_SOAK: "1" }).httpPort, 4280);
  });

  it("names key, source and expectation of a bad value", () => {
    assert.equal(mistake(["--http-port", "70000"]), '--http-port: "70000" is not valid, expected a port from 0 to 65535.');
    assert.match(mistake([], { REPRISE_NATS_PORT: "4222x" }), /REPRISE_NATS_PORT: "4222x" is not valid, expected a port/);
    assert.match(mistake([], {}, "log-level: loud"), /log-level in reprise.yaml: "loud" is not valid, expected one of fatal/);
    assert.match(mistake([], {}, "data: [a]"), /data in reprise.yaml: \["a"\] is not valid, expected a folder/);
    assert.match(mistake(["--nats-url", "example.org"]), /--nats-url: "example.org" is not valid, expected an address/);
    assert.match(mistake(["--nats-url", "http://example.org"]), /expected an address/);
    assert.match(mistake(["--prefix", "a.b"]), /--prefix: "a.b" is not valid/);
    assert.match(mistake(["--data", ""]), /expected a folder/);
    assert.match(mistake(["--data"]), /--data needs a value/);
    assert.match(mistake(["--data", "--prefix", "x"]), /--data needs a value/);
  });

  it("refuses a file that is not a mapping, or not YAML, or has a key twice", () => {
    assert.match(mistake([], {}, "- a"), /must be a mapping/);
    assert.match(mistake([], {}, "data: [a"), /not valid YAML.*line 1/s);
    assert.match(mistake([], {}, "data: a\ndata: b"), /not valid YAML/);
  });

  it("reads the file in the working folder, and does without", () => {
    const folder = mkdtempSync(join(tmpdir(), "reprise-config-"));
    try {
      assert.equal(loadConfig([], {}, folder).kind, "run");
      writeFileSync(join(folder, "reprise.yaml"), "# comment\nhttp-port: 5000\n");
      const invocation = loadConfig([], {}, folder);
      assert.ok(invocation.kind === "run" && invocation.config.httpPort === 5000);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("answers --help and --version whatever else is given", () => {
    assert.deepEqual(resolveConfig(["--help"], {}, "", "/"), { kind: "help" });
    assert.deepEqual(resolveConfig(["--version"], {}, "", "/"), { kind: "version" });
    for (const name of settingNames) assert.ok(helpText().includes(`--${name} `));
  });
});
