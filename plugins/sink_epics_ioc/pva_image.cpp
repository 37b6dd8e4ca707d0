/* NTNDArray PVs on the server that QSRV2 runs. */
#include "pva_image.h"

#include <atomic>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <pvxs/iochooks.h>
#include <pvxs/nt.h>
#include <pvxs/server.h>
#include <pvxs/sharedpv.h>

namespace
{
struct Image {
    pvxs::server::SharedPV pv;
    pvxs::Value type;
    std::atomic<bool> connected{false};
};

void *create(const char *name, void (*wanted)(void *context), void *context, char *message, size_t size)
{
    try {
        auto image = std::make_unique<Image>();
        image->pv = pvxs::server::SharedPV::buildReadonly();
        image->type = pvxs::nt::NTNDArray{}.create();
        image->pv.open(image->type);
        auto connected = &image->connected;
        image->pv.onFirstConnect([connected, wanted, context](pvxs::server::SharedPV &) {
            *connected = true;
            wanted(context);
        });
        image->pv.onLastDisconnect([connected](pvxs::server::SharedPV &) { *connected = false; });
        pvxs::ioc::server().addPV(name, image->pv);
        return image.release();
    } catch (const std::exception &problem) {
        snprintf(message, size, "%s", problem.what());
        return nullptr;
    }
}

template <typename Element> pvxs::shared_array<const Element> copy_pixels(const spk_pva_frame &frame)
{
    pvxs::shared_array<Element> pixels(size_t(frame.height) * frame.width);
    std::memcpy(pixels.data(), frame.data, pixels.size() * sizeof(Element));
    return pixels.freeze();
}

void fill(pvxs::Value &value, const spk_pva_frame &frame)
{
    value["uniqueId"] = frame.unique_id;
    for (const char *stamp : {"timeStamp", "dataTimeStamp"}) {
        value[stamp]["secondsPastEpoch"] = frame.seconds;
        value[stamp]["nanoseconds"] = frame.nanoseconds;
    }
    int64_t bytes = int64_t(frame.height) * frame.width * int64_t(frame.element);
    value["compressedSize"] = bytes;
    value["uncompressedSize"] = bytes;
    pvxs::shared_array<pvxs::Value> dimension(2);
    for (size_t i = 0; i < 2; i++) {
        auto one = value["dimension"].allocMember();
        one["size"] = int32_t(i == 0 ? frame.width : frame.height);
        one["fullSize"] = one["size"].as<int32_t>();
        one["binning"] = 1;
        dimension[i] = std::move(one);
    }
    value["dimension"] = dimension.freeze();
}

int post(void *image, const spk_pva_frame *frame, char *message, size_t size)
{
    try {
        auto &target = *static_cast<Image *>(image);
        if (!target.connected)
            return 0;
        auto value = target.type.cloneEmpty();
        if (frame->element == 1)
            value["value->ubyteValue"] = copy_pixels<uint8_t>(*frame);
        else
            value["value->floatValue"] = copy_pixels<float>(*frame);
        fill(value, *frame);
        target.pv.post(value);
        return 0;
    } catch (const std::exception &problem) {
        snprintf(message, size, "%s", problem.what());
        return -1;
    }
}
} // namespace

extern "C" __attribute__((visibility("default")))
const spk_pva_table spk_pva_table = {SPK_PVA_ABI, SPECKLED_PVXS_DBD, create, post};
