/** `npm run verify`: formatting, lint, types and unused code, all at once; fails if one fails. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { setUpOrExit } from "./launch.mjs";
import { root } from "./setup.mjs";

const checks = {
  "format and lint": ["biome", "check", "--error-on-warnings"],
  types: ["tsc"],
  "unused code": ["knip"],
};

const node = await setUpOrExit();
const results = await Promise.all(Object.entries(checks).map(([name, [tool, ...args]]) => check(name, tool, args)));
for (const { name, code, output } of results) {
  console.log(`${code === 0 ? "ok    " : "FAILED"} ${name}`);
  if (code !== 0) console.log(output.trim());
}
if (results.some(({ code }) => code !== 0)) process.exitCode = 1;

function check(name, tool, args) {
  return new Promise((resolve) => {
    const child = spawn(node, [join("node_modules", ".bin", tool), ...args], { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (output += text));
    child.on("error", (error) => resolve({ name, code: -1, output: error.message }));
    child.on("close", (code) => resolve({ name, code, output }));
  });
}
