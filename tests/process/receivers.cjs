// Takes messages with a Node.js library: node receivers.cjs LIBRARY PORT; prints a line once it listens.
const [library, port] = process.argv.slice(2);
const ready = () => console.log("listening");

function simple() {
  const app = require("simple-hl7").tcp();
  app.use((request, response, next) => response.end());
  app.start(Number(port));
  ready();
}

function nodeHl7Server() {
  const { Server } = require("node-hl7-server");
  const inbound = new Server().createInbound({ port: Number(port) }, async (request, response) =>
    response.sendResponse("AA"));
  inbound.on("listen", ready);
}

({ "simple-hl7": simple, "node-hl7-server": nodeHl7Server })[library]();
