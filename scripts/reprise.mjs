#!/usr/bin/env node
/** The command `reprise`: sets the checkout up and runs the command line with the arguments given. */
import { join } from "node:path";
import { launch } from "./launch.mjs";
import { root } from "./setup.mjs";

await launch([join(root, "daemon", "cli", "main.ts"), ...process.argv.slice(2)]);
