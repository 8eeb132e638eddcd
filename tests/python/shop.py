"""A day in a shop, with a client that was generated from the OpenAPI document: a merchant and a customer register and log in;
goods, an order, its payment, a refund."""

import os
from http import HTTPStatus

from factfold_client import AuthenticatedClient, Client
from factfold_client.api.goods import add_goods
from factfold_client.api.orders import create_order, get_order, pay_order, refund_order
from factfold_client.api.sessions import log_in
from factfold_client.api.users import grant_role, register
from factfold_client.models import (
    AddGoods,
    CreateOrderBody,
    Login,
    Money,
    OrderStatus,
    PayOrder,
    RefundOrder,
    Registration,
    RequestedLine,
)


ADDRESS, PASSWORD = os.environ["FACTFOLD_HTTP"], "seven odd purple teapots"
nobody, admin = Client(base_url=ADDRESS), AuthenticatedClient(base_url=ADDRESS, token=os.environ["ADMIN_TOKEN"])


def expect(status, response):
    assert response.status_code == status, f"{response.status_code}: {response.content}"
    return response.parsed


def eur(amount):
    return Money(amount=amount, currency="EUR")


def registered(name):
    body = Registration(email=f"{name}@example.org", name=name, password=PASSWORD)
    return expect(HTTPStatus.CREATED, register.sync_detailed(client=nobody, body=body))


def logged_in(user):
    body = Login(email=user.email, password=PASSWORD)
    tokens = expect(HTTPStatus.CREATED, log_in.sync_detailed(client=nobody, body=body))
    return AuthenticatedClient(base_url=ADDRESS, token=tokens.access_token)


seller, buyer = registered("seller"), registered("buyer")
expect(HTTPStatus.OK, grant_role.sync_detailed(seller.id, "merchant", client=admin))
merchant, customer = logged_in(seller), logged_in(buyer)

body = AddGoods(name="Tea", price=eur(499), stock=10)
tea = expect(HTTPStatus.CREATED, add_goods.sync_detailed(client=merchant, body=body))
assert tea.price == eur(499) and tea.stock == 10

# The same request under the same key is the same order.
body = CreateOrderBody(lines=[RequestedLine(goods_id=tea.id, quantity=2)])
first, again = (
    expect(HTTPStatus.CREATED, create_order.sync_detailed(client=customer, body=body, idempotency_key="one"))
    for _ in range(2)
)
assert first.id == again.id

order = expect(HTTPStatus.OK, get_order.sync_detailed(first.id, client=customer, until=OrderStatus.CONFIRMED))
assert (order.status, order.total) == (OrderStatus.CONFIRMED, eur(998))

wrong = PayOrder(amount=eur(1), method="card")
problem = expect(HTTPStatus.UNPROCESSABLE_ENTITY, pay_order.sync_detailed(order.id, client=customer, body=wrong))
assert problem.type_ == "/problems/wrong-amount", problem

body = PayOrder(amount=order.total, method="card")
paid = pay_order.sync_detailed(order.id, client=customer, body=body)
assert expect(HTTPStatus.OK, paid).status == OrderStatus.PAID

body = RefundOrder(reason="a broken cup")
refunded = refund_order.sync_detailed(order.id, client=merchant, body=body)
assert expect(HTTPStatus.OK, refunded).refunded == eur(998)

# A read at the position of the last write includes it.
position = refunded.headers["factfold-position"]
order = expect(HTTPStatus.OK, get_order.sync_detailed(order.id, client=customer, factfold_at_least=position))
assert order.status == OrderStatus.REFUNDED
