"""Makes ``orders.csv``: the same file every time, because the seed is fixed.

Owns the invented customers and goods. Names and streets are made up, towns and post codes are real, mail addresses lie
in the domains reserved for examples. The VAT rates are those of the customers' countries in 2025.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

SEED = 20251
ORDER_COUNT = 85
FIRST_NUMBER = 1001
FIRST_DAY = date(2025, 9, 1)
COLUMNS = (
    *("order", "ordered_on", "customer", "email", "street", "postcode", "city", "country"),
    *("sku", "description", "quantity", "unit_price_eur", "vat_percent"),
)

# Country: VAT in percent on goods, and on books.
VAT = {
    "Austria": ("20", "10"),
    "Belgium": ("21", "6"),
    "Denmark": ("25", "25"),
    "Finland": ("25.5", "14"),
    "France": ("20", "5.5"),
    "Germany": ("19", "7"),
    "Ireland": ("23", "0"),
    "Italy": ("22", "4"),
    "Netherlands": ("21", "9"),
    "Portugal": ("23", "6"),
    "Spain": ("21", "4"),
    "Sweden": ("25", "6"),
}

# Customer, mail address, street, post code, town, country.
CUSTOMERS = [
    ("Änne Köhler", "aenne.koehler@example.org", "Schönhauser Allee 148", "10435", "Berlin", "Germany"),
    ("Jürgen Weiß", "j.weiss@example.net", "Große Bleichen 21", "20354", "Hamburg", "Germany"),
    ("Buchhandlung Süßmilch GmbH", "einkauf@suessmilch.example", "Königsstraße 7", "70173", "Stuttgart", "Germany"),
    ("Käthe Brückner", "kaethe@example.com", "Überseering 3", "22297", "Hamburg", "Germany"),
    ("Jörg Größmann", "groessmann@example.org", "Straße der Pariser Kommune 12", "10243", "Berlin", "Germany"),
    ("Fräulein Müllers Werkstatt", "hallo@muellers.example", "Färbergraben 5", "80331", "München", "Germany"),
    ("Theresa Österreicher", "theresa@example.net", "Mariahilfer Straße 88", "1070", "Wien", "Austria"),
    ("Bäckerei Höflmayr", "buero@hoeflmayr.example", "Getreidegasse 19", "5020", "Salzburg", "Austria"),
    ("Zoë Lefèvre", "zoe.lefevre@example.org", "12, rue des Écoles", "75005", "Paris", "France"),
    ("Éditions Brûlé & Cie", "compta@brule.example", "3, quai André Citroën", "75015", "Paris", "France"),
    ("François Dœuvre", "francois@example.net", "8, place de la Cathédrale", "67000", "Strasbourg", "France"),
    ("Hélène Château", "helene.chateau@example.com", "27, allée des Chênes", "69006", "Lyon", "France"),
    ("Maël Guégan", "mael@example.org", "5, rue de Siam", "29200", "Brest", "France"),
    ("Begoña Núñez Ibáñez", "begona@example.org", "Calle de Alcalá 201, 3º B", "28028", "Madrid", "Spain"),
    ("Librería El Búho, S.L.", "pedidos@elbuho.example", "Carrer d'Aragó 255", "08007", "Barcelona", "Spain"),
    ("Íñigo Peña", "inigo.pena@example.net", "Avenida de la Constitución 9", "41001", "Sevilla", "Spain"),
    ("João Conceição", "joao@example.org", "Rua da Conceição 40", "1100-154", "Lisboa", "Portugal"),
    ("Papelaria São José, Lda.", "geral@saojose.example", "Avenida dos Aliados 112", "4000-065", "Porto", "Portugal"),
    ("Nicolò D'Alò", "nicolo@example.com", "Via Nizza 230", "10126", "Torino", "Italy"),
    ("Libreria Più Libri S.r.l.", "ordini@piulibri.example", "Piazza Castello 4", "20121", "Milano", "Italy"),
    ("Zoè Fantò", "zoe.fanto@example.net", "Via dei Servi 16", "50122", "Firenze", "Italy"),
    ("Åsa Sjöström", "asa@example.org", "Götgatan 71", "116 21", "Stockholm", "Sweden"),
    ("Bokhandeln Ängeln AB", "order@angeln.example", "Östra Hamngatan 18", "411 09", "Göteborg", "Sweden"),
    ("Søren Kjærgård", "soren@example.net", "Nørrebrogade 44", "2200", "København", "Denmark"),
    ("Værkstedet på Åen ApS", "post@vaerkstedet.example", "Åboulevarden 33", "8000", "Aarhus", "Denmark"),
    ("Päivi Hämäläinen", "paivi@example.org", "Hämeentie 12 A 4", "00530", "Helsinki", "Finland"),
    ("Kirjakauppa Yö Oy", "tilaukset@yo.example", "Yliopistonkatu 22", "20100", "Turku", "Finland"),
    ("Noëlle van der Zée", "noelle@example.net", "Prinsengracht 517", "1016 HN", "Amsterdam", "Netherlands"),
    ("Drukkerij Ruïne B.V.", "inkoop@ruine.example", "Coolsingel 93", "3011 AE", "Rotterdam", "Netherlands"),
    ("Anaïs Maës", "anais.maes@example.net", "Rue Neuve 58", "1000", "Bruxelles", "Belgium"),
    ("Siobhán Ó Briain", "siobhan@example.net", "14 Mountjoy Square", "D01 E9V8", "Dublin", "Ireland"),
]

# Article number, description, price in EUR without VAT, whether it is a book.
GOODS = [
    ("NB-A5-DOT", "Notebook A5, dotted, 192 pages", "11.40", False),
    ("NB-A4-RUL", "Notebook A4, ruled, hard cover", "15.90", False),
    ("PN-FTN-M", "Fountain pen, medium nib", "34.50", False),
    ("PN-FTN-EF", "Fountain pen, extra fine nib", "36.00", False),
    ("IN-BLU-50", "Ink, Prussian blue, 50 ml", "9.80", False),
    ("IN-SEP-50", "Ink, sepia, 50 ml", "9.80", False),
    ("PC-WAT-24", "Watercolour pencils, tin of 24", "28.75", False),
    ("PP-COT-20", "Cotton paper 300 g, 20 sheets", "22.10", False),
    ("RL-BRS-30", "Brass ruler, 30 cm", "13.25", False),
    ("LM-DSK-LED", "Desk lamp, warm white", "64.90", False),
    ("BX-ARC-A4", "Archive box A4, acid-free", "7.35", False),
    ("ST-WAX-RD", "Sealing wax, red, 3 sticks", "6.20", False),
    ("BK-TYPO", "Book: The Elements of Page Layout", "31.78", True),
    ("BK-BIND", "Book: Bookbinding by Hand", "26.17", True),
    ("BK-INKS", "Book: A Short History of Ink", "18.69", True),
]


def order_lines() -> Iterator[dict[str, str]]:
    """The rows of the file: one to six lines an order, no article twice in it."""
    chance = random.Random(SEED)
    day = FIRST_DAY
    for number in range(FIRST_NUMBER, FIRST_NUMBER + ORDER_COUNT):
        day += timedelta(days=chance.choice((0, 0, 1, 1, 2)))
        customer = chance.choice(CUSTOMERS)
        line_count = chance.choices(range(1, 7), (2, 3, 4, 4, 3, 2))[0]
        for sku, description, price, is_book in chance.sample(GOODS, line_count):
            quantity = chance.choices((1, 2, 3, 5, 10, 25), (50, 20, 10, 10, 7, 3))[0]
            vat_percent = VAT[customer[-1]][is_book]
            values = (str(number), day.isoformat(), *customer, sku, description, str(quantity), price, vat_percent)
            yield dict(zip(COLUMNS, values, strict=True))


def write(path: Path) -> int:
    """Write the file; returns the number of rows."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        rows = list(order_lines())
        writer.writerows(rows)
    return len(rows)


if __name__ == "__main__":
    target = Path(__file__).with_name("orders.csv")
    print(f"{target}: {write(target)} rows")
