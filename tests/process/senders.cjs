// Sends messages with a Node.js library: node senders.cjs LIBRARY PORT; prints each answer on a line.
const [library, port] = process.argv.slice(2);
const ids = ["N1", "N2", "N3"];
const text = (id) =>
  ["MSH|^~\\&|ADT1|WEST|FIFHIR|HERE|20260302070000||ADT^A01^ADT_A01|" + id + "|P|2.5.1",
   "PID|1||9001^^^WEST^MR||TEAPOT^HAZEL||19800101|F", "PV1|1|I|WARD1^101^A"].join("\r");
const show = (answer) => console.log(JSON.stringify(String(answer)));

async function simple() {
  const hl7 = require("simple-hl7");
  const client = hl7.Server.createTcpClient("127.0.0.1", Number(port));
  const parser = new hl7.Parser({ segmentSeperator: "\r" });
  for (const id of ids) {
    await new Promise((done, fail) =>
      client.send(parser.parse(text(id)), (error, ack) => (error ? fail(error) : (show(ack.log()), done()))));
  }
  client.close();
}

async function nodeHl7Client() {
  const { Client, Message } = require("node-hl7-client");
  const client = new Client({ host: "127.0.0.1" });
  let answered;
  const connection = client.createConnection({ port: Number(port) }, async (response) => {
    show(response.getMessage().toString());
    answered();
  });
  for (const id of ids) {
    const answer = new Promise((done) => (answered = done));
    await connection.sendMessage(new Message({ text: text(id) }));
    await answer;
  }
  await connection.close();
}

({ "simple-hl7": simple, "node-hl7-client": nodeHl7Client })[library]().then(() => process.exit(0));
