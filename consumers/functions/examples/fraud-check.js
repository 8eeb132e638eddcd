// Cancels suspicious orders before anybody pays them.
//
//   factfold functions deploy fraud-check.js
//   factfold functions bind fraud-check --topic orders.events --type OrderConfirmed
const SUSPICIOUS = 1_000_00; // in minor units

export default function (event, context) {
  const { total } = event.data;
  if (total.amount <= SUSPICIOUS) return;
  console.warn(`${event.subject} costs ${total.amount} ${total.currency}: cancelled`);
  const data = { reason: `suspicious: more than ${SUSPICIOUS / 100} ${total.currency}` };
  return { commands: [{ type: "CancelOrder", stream: event.subject, data }] };
}
