/** `npm start -- …`: sets the checkout up and runs the daemon with the arguments given. */
import { join } from "node:path";
import { launch } from "./launch.mjs";
import { root } from "./setup.mjs";

await launch([join(root, "daemon", "main.ts"), ...process.argv.slice(2)]);
