"""Names of the fictional city of Linjiang (临江市): Chinese and English, plain data."""

from __future__ import annotations

from typing import NamedTuple


class Name(NamedTuple):
    """One name in the two languages of the product."""

    zh: str
    en: str

    def with_number(self, number: int) -> Name:
        """Return the name with a running number: ``雨水井 7`` / ``Drain 7``."""
        return Name(f"{self.zh}{number}号", f"{self.en} {number}")

    def at(self, place: Name) -> Name:
        """Return the name of this thing at a place: ``人民路雨水井`` / ``Drain, Renmin Road``."""
        return Name(f"{place.zh}{self.zh}", f"{self.en}, {place.en}")


def _pairs(text: str, zh_tail: str, en_tail: str) -> tuple[Name, ...]:
    words = text.split()
    return tuple(Name(zh + zh_tail, f"{en}{en_tail}") for zh, en in zip(words[::2], words[1::2], strict=True))


CITY = Name("临江市", "Linjiang")
RIVER = Name("临江", "Lin River")
CREEK = Name("柳溪", "Willow Creek")
LAKE = Name("望湖", "Wang Lake")
INNER_RING = Name("内环路", "Inner Ring Road")
OUTER_RING = Name("外环快速路", "Outer Ring Expressway")
EMBANKMENT = Name("滨江大道", "Riverside Avenue")

CENTRE_DISTRICT = Name("鼓楼区", "Gulou District")
# Counter-clockwise from the east, as the layout cuts the sectors.
OUTER_DISTRICTS = _pairs(
    "东港 Donggang 云溪 Yunxi 凤岭 Fengling 望湖 Wanghu 高新 Gaoxin 石桥 Shiqiao 南苑 Nanyuan", "区", " District"
)

ARTERIALS = _pairs(
    "人民 Renmin 中山 Zhongshan 解放 Jiefang 建设 Jianshe 和平 Heping 胜利 Shengli 长安 Chang'an 文化 Wenhua "
    "科技 Keji 迎宾 Yingbin 学府 Xuefu 站前 Zhanqian 工农 Gongnong 光明 Guangming 青年 Qingnian 体育 Tiyu",
    "路",
    " Road",
)
STREETS = _pairs(
    "桂花 Guihua 梧桐 Wutong 翠竹 Cuizhu 清泉 Qingquan 明月 Mingyue 丹霞 Danxia 银杏 Yinxing 海棠 Haitang "
    "松涛 Songtao 荷塘 Hetang 兰亭 Lanting 玉泉 Yuquan 金桥 Jinqiao 香樟 Xiangzhang 白鹭 Bailu 书院 Shuyuan "
    "织锦 Zhijin 茶园 Chayuan 石榴 Shiliu 枫林 Fenglin 鹤鸣 Heming 紫薇 Ziwei 芙蓉 Furong 杏林 Xinglin "
    "云锦 Yunjin 竹林 Zhulin 柳荫 Liuyin 桃源 Taoyuan 碧波 Bibo 听雨 Tingyu 观澜 Guanlan 锦绣 Jinxiu "
    "安宁 Anning 福安 Fu'an 永乐 Yongle 长乐 Changle 瑞祥 Ruixiang 惠民 Huimin 康宁 Kangning 丰收 Fengshou "
    "星光 Xingguang 朝阳 Chaoyang 晨曦 Chenxi 晚晴 Wanqing 东湖 Donghu 西苑 Xiyuan 北辰 Beichen 南塘 Nantang "
    "双桥 Shuangqiao 三里 Sanli 四牌楼 Sipailou 五福 Wufu 六合 Liuhe 七星 Qixing 八仙 Baxian 九曲 Jiuqu",
    "街",
    " Street",
)
PARKS = tuple(
    Name(zh + "公园", en + " Park")
    for zh, en in (
        ("人民", "People's"),
        ("滨江", "Riverside"),
        ("青年", "Youth"),
        ("鹭岛", "Egret"),
        ("梅林", "Plum Grove"),
        ("湿地", "Wetland"),
        ("儿童", "Children's"),
        ("凤凰", "Phoenix"),
        ("琴台", "Zither Terrace"),
        ("竹海", "Bamboo"),
        ("映山", "Azalea"),
        ("秋水", "Autumn Water"),
        ("晓月", "Dawn Moon"),
        ("古城", "Old Wall"),
        ("松鹤", "Crane"),
        ("桃花", "Peach"),
    )
)
UNDERPASSES = (
    Name("东门下穿隧道", "East Gate Underpass"),
    Name("西关下穿隧道", "West Pass Underpass"),
)
PARKING_PLACES = tuple(
    Name(zh, en)
    for zh, en in (
        ("火车站停车场", "Railway Station Car Park"),
        ("市民中心停车场", "Civic Centre Car Park"),
        ("中心医院停车场", "Central Hospital Car Park"),
        ("鼓楼广场停车场", "Drum Tower Plaza Car Park"),
        ("会展中心停车场", "Exhibition Centre Car Park"),
        ("体育场停车场", "Stadium Car Park"),
        ("望湖景区停车场", "Wang Lake Car Park"),
        ("科技园停车场", "Science Park Car Park"),
    )
)
